"""Pictures and films where room, time or luck is short: who gets an answer gets what transformers generates."""

import msgspec
import pytest

from mlxd.types import ResolvedLimits, SamplingParams, Stopping
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.runtime.paged.build import paged_runner, prove_model
from mlxd.worker.runtime.paged.manner import Manner
from mlxd.worker.runtime.vision.encoder import Encoder
from tests.support.seen_prompts import case_names, loaded_model, seen_prompt
from tests.support.vision_references import references
from tests.worker.runner_rig import RunnerRig

BLOCK = 8
ROOM = 2**24  # bytes
LONG = 24  # tokens of an answer


class Rig(RunnerRig):
    """A model's own runner, over the cases of its references."""

    def __init__(self, architecture, **limits):
        self.architecture = architecture
        loaded = loaded_model(architecture)
        model = _proved(architecture)
        model.sight.clear()
        encoder = Encoder(loaded.model, model.sight)
        encoder.embedding_bytes = 4
        self.limits = ResolvedLimits(**{"cache_bytes": ROOM, "max_sequences": 16} | limits)
        super().__init__(paged_runner(loaded, model, self.limits, encoder=encoder), self._check)
        self.names = case_names(architecture)

    def _check(self):
        self.runner._manager.check_integrity()
        figures = self.runner.cache().media
        assert figures.bytes == self.runner.memory().media

    def show(self, name, request=None, max_tokens=8):
        self.ask_for(request or name, seen_prompt(self.architecture, name, max_tokens))

    def ask_for(self, request, prompt):
        asks = {"chain": BlockChain.of(prompt, BLOCK), "stopping": Stopping(ignore_end=True)}
        self.runner.add(EngineRequest(request, prompt, SamplingParams(temperature=0.0), **asks))

    def show_all(self, **options):
        for name in self.names:
            self.show(name, **options)
        self.run()
        assert self.all_right()

    def all_right(self, requests=None):
        """Whether each got the reference's tokens; ``requests`` are the cases by their names."""
        known = references(self.architecture)
        wanted = {request: known[case].greedy for request, case in (requests or {name: name for name in self.names}).items()}
        return {request: self.tokens.get(request, [])[:8] for request in wanted} == wanted

    @property
    def encoded(self):
        return self.runner.cache().media.encoded


_known = {}


def _proved(architecture):
    if architecture not in _known:
        _known[architecture] = prove_model(loaded_model(architecture), BLOCK, [Manner.IN_PLACE]).model
    return _known[architecture]


def contents(architecture, *names):
    return {one.content for name in names for one in seen_prompt(architecture, name).inputs}


@pytest.fixture(params=["gemma3", "pixtral", "qwen3_vl", "smolvlm"])  # whole pictures, rows, films and three axes, crops
def architecture(request):
    return request.param


def test_in_small_chunks_and_with_nothing_kept_each_gets_what_it_gets_alone(architecture):
    Rig(architecture, media_bytes=0, step_tokens=11, max_sequences=3).show_all()


def test_ten_with_one_picture_have_it_encoded_once(architecture):
    rig = Rig(architecture)
    for number in range(10):
        rig.show("picture", str(number))
    rig.run()
    assert rig.all_right({str(number): "picture" for number in range(10)})
    assert rig.encoded == len(contents(architecture, "picture")) == 1
    computed = sum(report.tokens for report in rig.reports)
    prompt = len(references(architecture)["picture"].tokens)
    assert computed <= prompt + 10 * (BLOCK + 8)


@pytest.mark.parametrize("architecture", ["gemma3", "qwen3_vl", "smolvlm"])  # windows; films; as many spans as a row has, and more
def test_in_a_cache_with_room_for_few_they_are_preempted_and_say_what_they_say_with_room(architecture):
    longest = max(len(references(architecture)[name].tokens) for name in case_names(architecture))
    roomy = Rig(architecture)
    cache_bytes = 2 * int(1.6 * roomy.runner._sizing.needed(longest + LONG))
    roomy.show_all(max_tokens=LONG)
    cramped = Rig(architecture, cache_bytes=cache_bytes, media_fraction=0.5, step_tokens=24)
    cramped.show_all(max_tokens=LONG)
    assert cramped.failed == {}
    assert sum(report.preemptions for report in cramped.reports) > 0
    assert cramped.tokens == roomy.tokens


def test_a_picture_that_cannot_be_encoded_ends_those_who_show_it_alone(architecture, monkeypatch):
    rig = Rig(architecture)
    encoder = rig.runner._executor._encoder
    begin, bad = encoder._begin, seen_prompt(architecture, "picture").inputs[0]

    def faulty(given):
        if given.content == bad.content:
            raise RuntimeError("the device failed")
        return begin(given)

    monkeypatch.setattr(encoder, "_begin", faulty)
    for name in rig.names:
        rig.show(name)
    rig.run()
    ended = {name for name in rig.names if bad.content in contents(architecture, name)}
    assert set(rig.failed) == ended
    assert rig.all_right({name: name for name in rig.names if name not in ended})
    monkeypatch.undo()
    rig.show("picture", "again")
    rig.run()
    assert rig.all_right({"again": "picture"})


def joined(architecture, *names):
    """One prompt of several cases, one behind the other."""
    parts = [seen_prompt(architecture, name) for name in names]
    tokens, media = [], []
    for part in parts:
        media += [msgspec.structs.replace(span, start=span.start + len(tokens), stop=span.stop + len(tokens)) for span in part.media]
        tokens += part.tokens
    inputs = {one.content: one for part in parts for one in part.inputs}
    return msgspec.structs.replace(parts[0], tokens=tokens, media=tuple(media), inputs=tuple(inputs.values()), max_tokens=8)


@pytest.mark.parametrize("architecture", ["gemma3", "pixtral", "qwen3_vl"])  # a span; a span for each row; positions
def test_one_with_six_pictures_three_with_one_and_four_of_text_come_and_go(architecture):
    prompts = {"six": joined(architecture, "picture", "two_pictures", "other_picture", "swapped")}
    prompts |= {f"one {case}": joined(architecture, case) for case in ("picture", "other_picture", "late_picture")}
    words = references(architecture)["words"].tokens
    for number in range(4):
        text = joined(architecture, "words")
        prompts[f"text {number}"] = msgspec.structs.replace(text, tokens=[*words, *words[number:]])
    alone = {}
    for name, prompt in prompts.items():
        rig = Rig(architecture)
        rig.ask_for(name, prompt)
        rig.run()
        alone[name] = rig.tokens[name]
    company = Rig(architecture, step_tokens=21, media_bytes=0)
    for number, (name, prompt) in enumerate(prompts.items()):
        company.ask_for(f"{name} that leaves", prompt)
        company.ask_for(name, prompt)
        company.step()
        company.step()
        if number % 2:
            company.runner.abort(f"{name} that leaves")
    company.run()
    assert {name: company.tokens[name] for name in prompts} == alone
