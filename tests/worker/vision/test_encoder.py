"""Pictures on their way through a vision tower: a piece at a time, for as long as a plan says, and each with its own faults."""

import msgspec
import numpy as np
import pytest

from mlxd.worker.engine.plan import Encode
from mlxd.worker.runtime.vision import encoder as module
from mlxd.worker.runtime.vision import tower_attention
from mlxd.worker.runtime.vision.encoder import Encoder
from mlxd.worker.runtime.vision.sight import Sight
from tests.support.seen_prompts import case_names, loaded_model, seen_prompt
from tests.support.vision_references import architectures, references

ARCHITECTURE = "qwen3_vl"  # its tower has three blocks
BLOCKS = 3
RED, SMALL = seen_prompt(ARCHITECTURE, "two_pictures").inputs


class Clock:
    """Seconds that pass when something is evaluated: one for each piece."""

    def __init__(self, monkeypatch):
        self.now, self.evaluated = 0.0, []
        evaluate = module.mx.eval

        def counted(*arrays):
            self.now += len(arrays)
            self.evaluated.append(arrays)
            evaluate(*arrays)

        monkeypatch.setattr(module, "monotonic", lambda: self.now)
        monkeypatch.setattr(module.mx, "eval", counted)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def sight():
    return Sight()


@pytest.fixture
def encoder(sight):
    return Encoder(loaded_model(ARCHITECTURE).model, sight)


def whole(one, seconds=100.0):
    return Encode(one.content, one, seconds)


def on(one, seconds):
    return Encode(one.content, None, seconds)


@pytest.mark.parametrize("architecture", architectures())
@pytest.mark.parametrize("at_once", [1, 1000])
def test_what_it_makes_is_what_transformers_makes_however_much_at_once(architecture, at_once, monkeypatch):
    monkeypatch.setitem(module._AT_ONCE, module.mx.DeviceType.cpu, at_once)
    sight = Sight()
    encoder = Encoder(loaded_model(architecture).model, sight)
    for name in ("picture", "sizes", *(name for name in case_names(architecture) if "video" in name)):
        prompt, known = seen_prompt(architecture, name), references(architecture)[name].arrays["features"]
        encoded = encoder.run([whole(one) for one in prompt.inputs])
        found = np.concatenate([np.array(sight._features[one.content].embeddings) for one in prompt.inputs])
        if architecture == "gemma3":
            found = found * 6  # it is scaled with all embeddings, by the root of 36
        assert np.abs(found - known).max() < 1e-4 * known.std()
        assert encoded.done == {one.content: sight._features[one.content].nbytes for one in prompt.inputs}


def test_a_picture_takes_as_many_steps_as_its_pieces_need(encoder, clock):
    done = steps(encoder, RED, 1.0)
    assert len(done) >= 5 * BLOCKS  # in each four layers, and what attends
    assert {one.seconds for one in done} == {1.0}
    assert encoder.embedding_bytes * RED.count == encoder.nbytes == 3 * 32 * 4 * RED.count  # and two that are added deeper


@pytest.mark.parametrize("architecture", architectures())
def test_attention_of_a_few_queries_at_a_time_is_the_same(architecture, monkeypatch):
    monkeypatch.setattr(tower_attention, "MANY", 1)
    whole_features = features(architecture)
    monkeypatch.setattr(tower_attention, "_SCORES", 1)
    monkeypatch.setattr(tower_attention, "_FEWEST", 3)
    attended = []
    monkeypatch.setattr(tower_attention, "_attended", lambda *given, slice_=tower_attention._attended: attended.append(1) or slice_(*given))
    assert np.abs(features(architecture) - whole_features).max() < 1e-5 * whole_features.std()
    assert len(attended) > 4


def features(architecture):
    sight = Sight()
    inputs = seen_prompt(architecture, "sizes").inputs
    Encoder(loaded_model(architecture).model, sight).run([whole(one) for one in inputs])
    return np.concatenate([np.array(sight._features[one.content].embeddings) for one in inputs])


def test_slices_of_what_attends_can_be_interrupted(encoder, clock, monkeypatch):
    pieces = len(steps(encoder, RED, 1.0))
    monkeypatch.setattr(tower_attention, "MANY", 1)
    monkeypatch.setattr(tower_attention, "_SCORES", 1)
    slices = 4 * RED.count // tower_attention._FEWEST
    assert len(steps(encoder, RED, 1.0)) == pieces + BLOCKS * slices


def test_as_many_pieces_go_at_once_as_there_is_time_for(encoder, clock):
    pieces = len(steps(encoder, RED, 1.0))
    clock.evaluated.clear()
    assert {one.seconds for one in steps(encoder, SMALL, 7.0)[:-1]} == {7.0}
    assert [len(arrays) for arrays in clock.evaluated][:4] == [1, 2, 4, 4]  # twice as many each time, within the seconds
    assert sum(len(arrays) for arrays in clock.evaluated) == pieces


def test_what_would_take_long_is_cut(encoder, sight, monkeypatch):
    steps(encoder, RED, 1000.0)
    whole_ones = np.array(sight._features[RED.content].embeddings)
    encoder.let_go([RED.content])
    monkeypatch.setattr(encoder._pieces, "_most", 5000)
    encoder.run([whole(RED, 0.0)])
    assert len(encoder._under_way[RED.content].left) > 30 * BLOCKS
    steps(encoder, RED, 1000.0)
    assert np.abs(np.array(sight._features[RED.content].embeddings) - whole_ones).max() < 1e-5


def steps(encoder, one, seconds):
    """Goes on with it until it is done; what each step said."""
    said = [encoder.run([whole(one, seconds)])]
    while one.content not in said[-1].done:
        said.append(encoder.run([on(one, seconds)]))
    return said


def test_parts_that_do_not_look_at_each_other_go_through_one_after_the_other(clock, sight, monkeypatch):
    pieces = len(steps(Encoder(loaded_model(ARCHITECTURE).model, sight), RED, 1.0))
    monkeypatch.setitem(module._AT_ONCE, module.mx.DeviceType.cpu, 1)
    encoder = Encoder(loaded_model(ARCHITECTURE).model, sight)
    (film,) = seen_prompt(ARCHITECTURE, "odd_video").inputs  # of three times
    assert len(steps(encoder, film, 1.0)) == 3 * pieces


def test_seconds_that_one_leaves_are_the_next_one_s(encoder, clock):
    pieces = len(steps(encoder, RED, 1.0))
    encoder.let_go([RED.content])
    first = encoder.run([whole(RED, 2.0), whole(SMALL, 3.0)])
    assert (list(first.done), first.seconds) == ([], 2.0 + 3.0)
    second = encoder.run([on(RED, 2.0 * pieces), on(SMALL, 0.0)])
    assert (list(second.done), second.seconds) == ([RED.content, SMALL.content], (pieces - 2.0) + (pieces - 3.0))


def test_one_without_seconds_begins_only_where_those_before_it_were_done_early(encoder, clock):
    assert encoder.run([whole(RED, 1.0), whole(SMALL, 0.0)]).seconds == 1.0
    assert list(encoder.run([on(RED, 100.0)]).done) == [RED.content]
    assert list(encoder.run([on(SMALL, 100.0)]).done) == [SMALL.content]  # it was told before


def test_the_first_is_gone_on_with_whatever_the_clock_says(encoder, clock):
    assert encoder.run([whole(RED, 0.0)]).seconds == 1.0


def test_a_picture_that_cannot_be_encoded_fails_alone(encoder):
    broken = msgspec.structs.replace(RED, content=b"broken", tensors={})
    encoded = encoder.run([whole(broken), whole(SMALL)])
    assert (list(encoded.failed), list(encoded.done)) == ([b"broken"], [SMALL.content])
    assert isinstance(encoded.failed[b"broken"], KeyError)


def test_one_that_becomes_no_numbers_or_too_few_embeddings_fails(encoder, sight):
    pixels = RED.tensors["pixel_values"]
    nothing = np.full(pixels.shape, np.nan, pixels.dtype).tobytes()
    blank = msgspec.structs.replace(RED, tensors=RED.tensors | {"pixel_values": msgspec.structs.replace(pixels, data=nothing)})
    few = msgspec.structs.replace(SMALL, count=SMALL.count + 1)
    encoded = encoder.run([whole(blank), whole(few)])
    assert {error.code for error in encoded.failed.values()} == {"not_encoded"}
    assert (encoded.done, sight.nbytes) == ({}, 0)


def test_what_is_let_go_is_gone_and_told_anew(encoder, clock, sight):
    encoder.run([whole(RED, 1.0), whole(SMALL, 100.0)])
    encoder.let_go([RED.content, SMALL.content, b"unknown"])
    assert sight.nbytes == 0
    assert list(encoder.run([on(RED, 100.0)]).failed) == [RED.content]
    assert list(encoder.run([whole(RED)]).done) == [RED.content]
    encoder.clear()
    assert encoder.nbytes == 0
