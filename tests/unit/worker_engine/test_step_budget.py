"""How many tokens of prompts a step may have, on devices of all kinds: what they cost is known here, and learned by the budget."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.types import Limits
from mlxd.worker.engine.step_budget import LEAST, LONGEST, StepBudget
from mlxd.worker.engine.step_cost import StepShape
from tests.support.examples import examples
from tests.unit.worker_engine.simulated_device import SimulatedDevice, known, longest, serve, share

TARGET = 0.2
FAST = SimulatedDevice(0.004, 0.0003, 0.0005, 0.0004)
CPU = SimulatedDevice(0.055, 0.009, 0.005, 0.003)
BIG = SimulatedDevice(0.3, 0.02, 0.01, 0.015)
DEVICES = pytest.mark.parametrize("device", [FAST, CPU, BIG], ids=["fast", "cpu", "big"])


def within(device, rows, slack):
    """The longest step that is allowed: prompts add ``target_itl``, or somewhat more than streams take alone."""
    alone = device.alone(rows)
    return slack * (alone + max(TARGET, 1.2 * alone))


@DEVICES
@pytest.mark.parametrize("rows", [1, 4, 16, 32])
def test_prompts_have_half_of_the_time_and_streams_are_slowed_within_limits(device, rows):
    served = serve(device, known(device, rows=rows), rows=rows, steps=200)[20:]
    assert share(served) > 0.48
    assert longest(served) < within(device, rows, 1.4)


@DEVICES
def test_no_step_is_slower_than_streams_may_feel(device):
    """Three times the target, or two and a half times what they take alone."""
    for rows in (1, 8):
        quiet = dataclasses.replace(device, noise=0.05)
        served = serve(quiet, known(quiet, rows=rows), rows=rows, steps=300)[20:]
        assert longest(served) < max(3 * TARGET, 2.5 * device.alone(rows))


@DEVICES
def test_prompts_do_not_starve_when_more_streams_come_and_no_step_is_without_prompts(device):
    served = serve(device, known(device, rows=1), rows=24, steps=200)
    assert share(served[10:]) > 0.45


@pytest.mark.parametrize("factor", [5, 1 / 5])
@DEVICES
def test_a_device_that_changes_is_followed(device, factor):
    budget = known(device, rows=4)
    serve(device, budget, rows=4, steps=100)
    changed = device.times(factor)
    serve(changed, budget, rows=4, steps=100)
    served = serve(changed, budget, rows=4, steps=100)
    assert share(served) > 0.45
    assert longest(served) < within(changed, 4, 1.6)


def test_chunks_are_worth_their_call_where_a_prompt_costs_much_before_its_first_token():
    device = SimulatedDevice(0.055, 0.009, 0.15, 0.002)
    served = serve(device, known(device, rows=1), rows=1, steps=300)[50:]
    computing = [step for step in served if step.tokens]
    assert sorted(step.tokens for step in computing)[len(computing) // 2] > LEAST


def test_one_step_that_something_else_held_up_changes_little():
    budget = known(CPU, rows=4)
    before = budget.beside(Limits(target_itl=TARGET), decode_rows=4)
    budget.observe(30.0, StepShape(decode_rows=4, prompts=1, prefill_tokens=before))
    assert budget.beside(Limits(target_itl=TARGET), decode_rows=4) >= before / 2


@pytest.mark.parametrize("times", [1.4, 4, 20])
def test_streams_that_something_else_held_up_once_make_no_prompt_look_cheap(times):
    """A stream with guesses and a prompt were together in nearly every step, so what both took is known, and hardly what each did."""
    device, budget = SimulatedDevice(0.06, 0.01, 0.02, 0.004, guess=0.004), StepBudget(largest=2048)
    limits, streams = Limits(target_itl=TARGET), StepShape(decode_rows=1, guesses=14)
    for tokens in (2, 8, 32, 128):
        device.run(budget, StepShape(prompts=1, prefill_tokens=tokens))
    for _ in range(20):
        device.run(budget, streams)
    chunks = [1]
    while chunks[-1] or len(chunks) < 60:
        chunks.append(budget.beside(limits, decode_rows=1, guesses=14))
        if chunks[-1]:
            device.run(budget, dataclasses.replace(streams, prompts=1, prefill_tokens=chunks[-1]))
        elif len(chunks) < 60:
            device.run(budget, streams)
    budget.observe(times * device.seconds(streams), streams)
    assert budget.beside(limits, decode_rows=1, guesses=14) < 1.5 * max(chunks[-10:])


@given(
    device=st.builds(
        SimulatedDevice, st.floats(0.001, 0.5), st.floats(1e-4, 0.02), st.just(0.0), st.floats(1e-5, 0.02), noise=st.just(0.0)
    ),
    target=st.floats(0.01, 1),
    rows=st.integers(1, 32),
    largest=st.integers(64, 2048),
)
@settings(deadline=None, max_examples=examples(24))
def test_whatever_the_device_prompts_add_what_they_may_and_go_on(device, target, rows, largest):
    served = serve(device, known(device, largest=largest, rows=rows), rows=rows, steps=80, target=target)
    assert all(step.tokens <= largest for step in served)
    assert sum(step.tokens == 0 for step in served) <= 80 // 8  # only to see what streams take alone
    alone = device.alone(rows)
    for step in served[40:]:
        assert step.for_prompts <= 1.5 * max(target, 1.2 * alone) or step.tokens <= LEAST


@DEVICES
def test_with_nobody_to_disturb_chunks_are_as_large_as_is_efficient_and_bounded_in_time(device):
    budget = StepBudget(largest=512)
    sizes = []
    for _ in range(20):
        sizes.append(budget.undisturbed(Limits(target_itl=0.001)))
        device.run(budget, StepShape(prompts=1, prefill_tokens=sizes[-1]))
    assert sizes[0] <= 32
    assert sizes[-1] == 512 or 0.5 * LONGEST < device.token * sizes[-1] < 1.3 * LONGEST


@pytest.mark.parametrize("token", [0.05, 0.5])
def test_on_a_slow_device_no_chunk_takes_long_not_even_the_first_ones(token):
    device = SimulatedDevice(0.2, 0.05, 0.01, token)
    budget = StepBudget(largest=2048)
    device.run(budget, StepShape(prompts=1, prefill_tokens=2))  # the warm-up
    for _ in range(20):
        tokens = budget.undisturbed(Limits())
        assert token * tokens <= max(16 * LONGEST, LEAST * token)
        device.run(budget, StepShape(prompts=1, prefill_tokens=tokens))
    assert token * budget.undisturbed(Limits()) <= max(1.3 * LONGEST, LEAST * token)


def test_a_fixed_budget_is_bounded_in_time_too():
    slow = SimulatedDevice(0.2, 0.05, 0.01, 0.05)
    budget = known(slow)
    for _ in range(5):
        tokens = budget.undisturbed(Limits(step_tokens=4096))
        slow.run(budget, StepShape(prompts=1, prefill_tokens=tokens))
    assert budget.undisturbed(Limits(step_tokens=4096)) < 2 * LONGEST / 0.05
    assert known(FAST).undisturbed(Limits(step_tokens=64), decode_rows=10) == 54
    assert known(FAST).beside(Limits(step_tokens=64), decode_rows=60) == 8


@pytest.mark.parametrize("rows", [1, 16])
def test_before_anything_is_known_the_first_chunks_are_small(rows):
    assert StepBudget(largest=2048).beside(Limits(target_itl=0.2), decode_rows=rows) <= 64


@pytest.mark.parametrize("target", [0.05, 0.2, 2.0])
@pytest.mark.parametrize("rows", [1, 8])
def test_pictures_have_what_prompts_leave_and_half_of_it_at_least(target, rows):
    device = SimulatedDevice(0.02, 0.004, 0.001, 0.001, noise=0.0)
    budget, limits = known(device, rows=rows), Limits(target_itl=target)
    for tokens in (16, 64, 256) * 8:
        device.run(budget, StepShape(decode_rows=rows, prompts=1, prefill_tokens=tokens))
    whole = max(min(target, 1.0), 1.1 * device.alone(rows))
    assert budget.encoding(limits, StepShape(decode_rows=rows)) == pytest.approx(whole, rel=0.1)
    few = budget.encoding(limits, StepShape(decode_rows=rows, prompts=1, prefill_tokens=16))
    assert few == pytest.approx(max(whole / 2, whole - 0.017), rel=0.1)
    assert budget.encoding(limits, StepShape(decode_rows=rows, prompts=1, prefill_tokens=4096)) == pytest.approx(whole / 2, rel=0.1)
    assert budget.encoding(limits, StepShape()) == pytest.approx(1.0)


def test_while_something_is_encoded_prompts_have_half_of_what_they_have():
    budget = known(SimulatedDevice(0.02, 0.004, 0.001, 0.001, noise=0.0))
    whole, half = (budget.beside(Limits(), decode_rows=4, share=share) for share in (1.0, 0.5))
    assert half == pytest.approx(whole / 2, abs=16)
    assert [budget.beside(Limits(step_tokens=100), decode_rows=4, share=share) for share in (1.0, 0.5)] == [96, 96]
