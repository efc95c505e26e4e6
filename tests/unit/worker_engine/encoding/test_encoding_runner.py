"""Requests of texts, batched over a simulated device."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.types import FinishReason, Restraint
from mlxd.wire.events import Failed
from mlxd.worker.engine.encoding.batch import WASTE
from mlxd.worker.engine.encoding.workspace import Workspace
from mlxd.worker.engine.events import Ended
from tests.unit.worker_engine.encoding.simulated_encoder import BROKEN, NAN, Rig, SimulatedEncoder, shape_of

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=60)


def texts(lengths, first=1000):
    return [[first + at, *([1] * (length - 1))] for at, length in enumerate(lengths)]


def sums(inputs):
    return {place: float(sum(tokens)) for place, tokens in enumerate(inputs)}


@given(st.lists(LENGTHS, min_size=1, max_size=5), st.floats(0, 0.02), st.floats(1e-6, 1e-3))
def test_every_text_is_computed_once_and_told_at_its_place(requests, call, token):
    rig = Rig(SimulatedEncoder(call, token))
    asked = {f"r{number}": texts(lengths, 1000 * (number + 1)) for number, lengths in enumerate(requests)}
    for name, inputs in asked.items():
        rig.add(name, inputs)
    rig.run()
    for name, inputs in asked.items():
        assert rig.vectors(name) == sums(inputs)
        assert rig.answer(name) == Ended(name, FinishReason.STOP)
    assert sum(len(batch) for batch in rig.encoder.batches) == sum(map(len, requests))
    assert sum(stats.tokens for stats in rig.stats) == sum(map(sum, requests))
    assert (rig.queue.running, rig.queue.waiting) == (0, 0)


@given(st.lists(LENGTHS, min_size=1, max_size=5), st.floats(0.001, 0.02), st.floats(1e-6, 1e-3))
def test_little_is_computed_only_to_fill_a_batch_up(requests, call, token):
    rig = Rig(SimulatedEncoder(call, token, 0.0))
    for number, lengths in enumerate(requests):
        rig.add(f"r{number}", texts(lengths))
    seen = []
    for _ in range(10_000):
        worth = rig.runner._cost.call_in_tokens
        rig.engine.step()
        seen += [(batch, worth) for batch in rig.encoder.batches[len(seen) :]]
        if rig.runner.is_idle:
            break
    for batch, worth in seen:
        real = sum(map(len, batch))
        assert shape_of(batch).padded - real <= max(WASTE * real, worth) + 1e-6


def test_many_texts_of_all_lengths_are_padded_by_less_than_a_tenth_altogether():
    rig = Rig()
    rig.add("a", texts([8 + at * 7919 % 200 for at in range(2048)]))
    rig.run()
    padded = sum(shape_of(batch).padded for batch in rig.encoder.batches)
    assert padded < 1.05 * sum(len(text) for batch in rig.encoder.batches for text in batch)


@pytest.mark.parametrize("target", [0.05, 0.2])
def test_once_the_device_is_known_no_step_takes_longer_than_the_target(target):
    rig = Rig(SimulatedEncoder(call=0.012), target_itl=target)
    rig.add("a", texts([40] * 2048))
    took, before = [], 0.0
    while not rig.told_at["a"] or not isinstance(rig.events["a"][-1], Ended):
        rig.engine.step()
        took.append(rig.encoder.now - before)
        before = rig.encoder.now
    assert max(took) < 1.1 * target
    assert sorted(took)[len(took) // 2] > 0.7 * target  # and little of it is wasted on calls


def test_a_step_is_no_longer_than_is_efficient():
    rig = Rig(SimulatedEncoder(call=0.003, token=0.0003), target_itl=1.0)
    rig.add("a", texts([40] * 2048))
    rig.run()
    took = sorted(rig.encoder.call + rig.encoder.token * shape_of(batch).padded for batch in rig.encoder.batches)
    assert 0.03 < took[len(took) // 2] < 0.12
    calls = rig.encoder.call * len(took)
    assert calls < 0.1 * rig.encoder.now


def test_a_device_that_slows_down_gets_smaller_batches():
    rig = Rig()
    rig.add("a", texts([40] * 2048))
    for _ in range(15):
        rig.engine.step()
    rig.encoder.token *= 3
    for _ in range(8):
        rig.engine.step()
    before = rig.encoder.now
    rig.engine.step()
    assert rig.encoder.now - before < 1.2 * rig.limits.target_itl


def test_a_single_text_waits_for_two_steps_at_most_beside_thousands_of_another():
    rig = Rig()
    rig.add("many", texts([40] * 2048))
    for _ in range(10):
        rig.engine.step()
    asked = rig.encoder.now
    rig.add("one", texts([12]))
    rig.run()
    assert rig.told_at["one"][-1] - asked < 2.2 * rig.limits.target_itl
    assert rig.vectors("many") == sums(texts([40] * 2048))


def test_thousands_go_on_beside_singles_that_come_all_the_time():
    rig = Rig()
    rig.add("many", texts([40] * 2048))
    alone = 2048 * 40 * rig.encoder.token
    for number in range(5000):
        if isinstance(rig.events["many"][-1:] and rig.events["many"][-1], Ended):
            break
        rig.add(f"s{number}", texts([40] * 3))
        rig.engine.step()
    assert rig.encoder.now < 2.5 * alone
    assert isinstance(rig.events["many"][-1], Ended)


def test_a_better_priority_goes_first_and_waiting_makes_up_for_it():
    rig = Rig(priority_ageing=10.0)
    rig.add("many", texts([40] * 500), priority=1)
    rig.add("urgent", texts([40] * 500), priority=0)
    rig.run()
    assert rig.told_at["urgent"][-1] < rig.told_at["many"][-1]
    rig = Rig(priority_ageing=10.0)
    rig.add("many", texts([40] * 500), priority=1, arrived=-20.0)
    rig.add("urgent", texts([40] * 500), priority=0)
    rig.run()
    assert rig.told_at["many"][-1] < 1.5 * (500 * 40 * rig.encoder.token) + rig.told_at["urgent"][-1] / 2


def test_texts_of_several_requests_share_a_batch():
    rig = Rig()
    for number in range(20):
        rig.add(f"s{number}", texts([10 + number % 2]))
    rig.run()
    assert len(rig.encoder.batches) < 10


def test_an_aborted_request_costs_nothing_more():
    rig = Rig()
    rig.add("a", texts([40] * 2048))
    rig.add("b", texts([40] * 200))
    for _ in range(6):
        rig.engine.step()
    rig.queue.withdraw("a")
    computed = len(rig.encoder.batches)
    rig.run()
    assert {text.request_id for batch in rig.encoder.batches[computed:] for text in batch} == {"b"}
    assert rig.vectors("b") == sums(texts([40] * 200))


def test_a_text_of_which_no_number_comes_fails_its_request_alone():
    rig = Rig()
    rig.add("bad", [*texts([10] * 3), [NAN] * 10])
    rig.add("good", texts([10] * 4))
    rig.run()
    error = rig.answer("bad").error
    assert (error.code, error.param) == ("logits_not_finite", "input[3]")
    assert rig.vectors("good") == sums(texts([10] * 4))
    assert sum(stats.not_finite for stats in rig.stats) == 1


def test_a_text_that_breaks_a_batch_costs_nobody_else_theirs(caplog):
    caplog.set_level(logging.CRITICAL)
    rig = Rig()
    rig.add("good", texts([10] * 4))
    rig.add("bad", [[BROKEN] * 10])
    rig.add("fine", texts([10] * 4, 2000))
    rig.run()
    assert isinstance(rig.answer("bad"), Failed)
    assert rig.vectors("good") == sums(texts([10] * 4))
    assert rig.vectors("fine") == sums(texts([10] * 4, 2000))


def test_a_batch_fits_into_the_workspace_and_into_less_of_it_under_restraint():
    workspace = Workspace(400 * 1000, 1000, 0)
    rig = Rig(workspace=workspace)
    rig.add("a", texts([10] * 500))
    rig.add("long", texts([900]))
    rig.run()
    shapes = [shape_of(batch) for batch in rig.encoder.batches]
    assert max(workspace.bytes(shape) for shape in shapes if shape.rows > 1) == workspace.size
    assert [shape.rows for shape in shapes if shape.longest == 900] == [1]  # it has to be computed, whatever it takes
    rig = Rig(workspace=workspace, restraint=Restraint(buffer_share=0.5))
    rig.add("a", texts([10] * 500))
    rig.run()
    assert max(workspace.bytes(shape_of(batch)) for batch in rig.encoder.batches) == workspace.size // 2


def test_a_fixed_budget_of_tokens_holds():
    rig = Rig(step_tokens=100)
    rig.add("a", texts([10] * 500))
    rig.run()
    assert max(shape_of(batch).padded for batch in rig.encoder.batches) == 100


def test_while_memory_is_short_a_long_text_waits_and_is_refused_in_the_end():
    rig = Rig(restraint=Restraint(largest_prompt=100, patience=0.0))
    rig.engine.reconfigure(rig.limits)
    rig.add("long", texts([10, 101]))
    rig.add("short", texts([10] * 100))
    rig.run()
    assert rig.answer("long").error.code == "memory_pressure"
    assert len(rig.vectors("short")) == 100
