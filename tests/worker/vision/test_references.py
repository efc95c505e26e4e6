"""Pictures and films over the paged cache, beside what transformers computes: whole, in chunks, beside others, and behind a prefix hit."""

import numpy as np
import pytest

from mlxd.worker.engine.plan import Encode
from mlxd.worker.kv.block_table import Run
from mlxd.worker.runtime.paged.build import prove_model
from mlxd.worker.runtime.paged.manner import Manner
from mlxd.worker.runtime.paged.slots import Geometry
from mlxd.worker.runtime.vision.encoder import Encoder
from tests.support.paged_case import PagedCase, logits_of
from tests.support.seen_prompts import case_names, loaded_model, seen_prompt
from tests.support.vision_references import architectures, kept_tokens, references

BLOCK = 8
BLOCKS = 32  # of each sequence
ROUNDING = 1e-4  # standard deviations of all logits


class Rig:
    """One model over a paged cache, with the pictures of all its cases encoded."""

    def __init__(self, architecture):
        self.architecture = architecture
        loaded = loaded_model(architecture)
        self.model = prove_model(loaded, BLOCK, [Manner.IN_PLACE]).model
        windows = self.model.passable_windows(loaded.context_length)
        self.windows = len(windows)
        geometry = Geometry(BLOCK, 4 * BLOCKS)
        self.model.resize(geometry, dict.fromkeys(windows, geometry))
        self.encoder = Encoder(loaded.model, self.model.sight)
        self.cases = case_names(architecture)
        inputs = {one.content: one for name in self.cases for one in seen_prompt(architecture, name).inputs}
        encoded = self.encoder.run([Encode(content, one, 1000.0) for content, one in inputs.items()])
        assert (encoded.done.keys(), encoded.failed) == (inputs.keys(), {})
        assert sum(encoded.done.values()) == self.encoder.nbytes

    def case(self, name, place=0, runs=None):
        tokens = tuple(references(self.architecture)[name].every_token())
        own = (Run(place * BLOCKS, (place + 1) * BLOCKS),)
        return PagedCase(f"{name} {place}", tokens, seen_prompt(self.architecture, name).media, runs or own, self.windows)

    def is_right(self, name, logits, start=0):
        """Whether the logits of all tokens from ``start`` on are the reference's."""
        known = references(self.architecture)[name].arrays
        difference = np.abs(logits[:, kept_tokens(logits.shape[1])] - known["columns"][start:]).max()
        return difference < ROUNDING * known["last"].std() and logits.argmax(axis=-1).tolist() == known["likeliest"][start:].tolist()


@pytest.fixture(scope="module", params=architectures())
def rig(request):
    return Rig(request.param)


def test_whole(rig):
    right = {name: rig.is_right(name, *logits_of(rig.model, rig.case(name).chunk(0, len(rig.case(name).tokens)))) for name in rig.cases}
    assert right == dict.fromkeys(rig.cases, True)


@pytest.mark.parametrize("size", [7, 16])
def test_in_chunks(rig, size):
    names = ["picture", "two_pictures", *(["video"] if "video" in rig.cases else [])]
    logits = {name: np.concatenate([logits_of(rig.model, chunk)[0] for chunk in rig.case(name).chunks(size)]) for name in names}
    assert {name: rig.is_right(name, found) for name, found in logits.items()} == dict.fromkeys(names, True)


def test_beside_others_which_decode_and_which_begin(rig):
    """One whose answer goes on token by token, while another's pictures come in chunks, and a third's at once."""
    first, second, third = rig.case("picture", 0), rig.case("two_pictures", 1), rig.case("late_picture", 2)
    prompt = len(first.tokens) - 7
    found = {first.name: logits_of(rig.model, first.chunk(0, prompt))}
    chunks = list(second.chunks(13))
    for step in range(7):
        others = [chunks[step]] if step < len(chunks) else []
        others += [third.chunk(0, len(third.tokens))] if step == 2 else []
        step_chunks = [first.chunk(prompt + step, prompt + step + 1), *others]
        for chunk, logits in zip(step_chunks, logits_of(rig.model, *step_chunks), strict=True):
            found.setdefault(chunk.sequence, []).append(logits)
    found[second.name] += [logits_of(rig.model, chunk)[0] for chunk in chunks[7:]]
    assert {name: rig.is_right(name.split()[0], np.concatenate(logits)) for name, logits in found.items()} == dict.fromkeys(found, True)


def test_behind_a_prefix_hit_that_ends_before_amid_and_behind_a_picture(rig):
    whole = rig.case("two_pictures")
    logits_of(rig.model, whole.chunk(0, len(whole.tokens)))
    right = {}
    for blocks in range(1, len(whole.tokens) // BLOCK):
        hit = rig.case("two_pictures", 1, runs=(Run(0, blocks), Run(BLOCKS, 2 * BLOCKS)))
        right[blocks] = rig.is_right("two_pictures", *logits_of(rig.model, hit.chunk(blocks * BLOCK, len(hit.tokens))), blocks * BLOCK)
    assert right == dict.fromkeys(right, True)


def test_pictures_that_are_let_go_leave_nothing(rig):
    rig.encoder.clear()
    assert rig.encoder.nbytes == 0
    with pytest.raises(KeyError):
        logits_of(rig.model, rig.case("picture").chunk(0, 40))
