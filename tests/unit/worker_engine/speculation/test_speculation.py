"""How many guesses pay: what speculation gains on devices and texts of all kinds, and what it must never lose."""

import pytest

from mlxd.types import Limits, SpeculationKind
from mlxd.worker.engine.executor import Drafting
from mlxd.worker.engine.speculation.speculation import Speculation
from mlxd.worker.engine.step_cost import StepShape
from tests.unit.worker_engine.speculation.streams import Streams, cpu, noise_of, stream

FILE = noise_of(1, 400, 5000)


def dear(rows):
    """A device on which each row costs as much as the first."""
    return 0.01 * rows


def cheap(rows):
    """A device that reads its weights once, whatever there is to compute."""
    return 0.01 * (1 + 0.002 * rows)


def edited(text, seed):
    """Every fortieth token is another one."""
    return [token if at % 40 else noise_of(seed + at, 1, 5000)[0] for at, token in enumerate(text)]


@pytest.mark.parametrize(("users", "device"), [*((users, device) for users in (1, 2) for device in (cpu, dear, cheap)), (16, cpu)])
@pytest.mark.parametrize("kinds", [3, 40, 5000])
def test_text_that_repeats_nothing_on_purpose_loses_nothing(users, device, kinds):
    """Few kinds of tokens: the same runs come again and again, and go on otherwise."""
    answers = {str(user): noise_of(user, 300, kinds) for user in range(users)}
    least = 0.97 if users > 1 or device is not dear else 0.95  # what it costs to find out what rows cost, once, in a text so short
    assert Streams(answers, seconds=device).run().gain > least


@pytest.mark.parametrize(("users", "least"), [(1, 4.0), (2, 2.5), (5, 1.3), (8, 1.08), (16, 0.97)])
def test_who_copies_a_file_is_faster_for_as_many_users_as_the_device_lets_be(users, least):
    prompts = {str(user): FILE for user in range(users)}
    answers = {name: edited(FILE, int(name)) for name in prompts}
    assert Streams(answers, prompts=prompts).run().gain > least


def test_where_a_row_costs_as_much_as_the_first_little_is_lost():
    run = Streams({"a": FILE}, prompts={"a": FILE}, seconds=dear).run()
    assert run.gain > 0.93  # right guesses cost what they give, and wrong ones more


def test_a_device_that_becomes_dear_is_found_out():
    run = Streams({"a": FILE * 3}, prompts={"a": FILE}, seconds=cheap)
    for _ in range(20):
        run.step()
    run.seconds, run.took, run.alone = dear, 0.0, 0.0
    assert run.run().gain > 0.9


def test_a_stream_that_begins_to_copy_is_noticed_at_once():
    run = Streams({"a": noise_of(9, 200, 5000) + FILE}, prompts={"a": FILE}).run()
    assert run.steps < 200 + 400 / 5


def test_nothing_is_guessed_that_nobody_may_get():
    speculation = Streams({"a": FILE}, prompts={"a": FILE}, seconds=cheap).run().speculation
    last = stream("b", FILE, FILE[:8])
    last.tokens += FILE[1:5]
    assert speculation.guesses([last])["b"].count <= 2


@pytest.mark.parametrize(("kind", "count"), [(SpeculationKind.OFF, 0), (SpeculationKind.DRAFT, 0), (SpeculationKind.LOOKUP, 3)])
def test_the_limits_hold_from_the_next_step_on(kind, count):
    run = Streams({"a": FILE * 2}, prompts={"a": FILE}, seconds=cheap)
    for _ in range(10):
        run.step()
    run.speculation.reconfigure(Limits(speculation=kind, draft_tokens=3))
    before = run.guessed
    run.step()
    assert run.guessed - before == count


def test_without_anything_that_guesses_nothing_is_guessed():
    run = Streams({"a": FILE}, prompts={"a": FILE}, speculation=Speculation(Limits(speculation=SpeculationKind.AUTO))).run()
    assert run.guessed == 0


def test_newest_tokens_that_are_in_flight_are_waited_for_where_guesses_behind_them_may_pay():
    run = Streams({"a": FILE}, prompts={"a": FILE}, seconds=cheap)
    for _ in range(5):
        run.step()
    sequence = run.sequences["a"]
    sequence.in_flight = 1
    assert run.speculation.guesses([sequence]) == {}
    assert run.speculation.is_awaited
    sequence.in_flight = 0
    assert run.speculation.guesses([sequence])["a"].count > 0
    assert not run.speculation.is_awaited


def test_what_is_over_is_forgotten():
    speculation = Streams({"a": FILE}, prompts={"a": FILE}).run().speculation
    assert not speculation._of_one
    assert not speculation._known
    assert not any(drafter._known for drafter in speculation._lookups)


@pytest.mark.parametrize("seconds", [0.0, -0.5])
def test_a_clock_that_stands_still_or_goes_back_does_no_harm(seconds):
    """As where a draft model took longer than the step it guessed for seems to have taken."""
    run = Streams({"a": FILE}, prompts={"a": FILE}, seconds=cheap)
    for _ in range(3):
        run.speculation.observe(seconds, StepShape(decode_rows=1))
    run.speculation.observe(0.01, StepShape(decode_rows=1, guesses=2), Drafting(0.01 - seconds, (1,)))
    assert run.run().gain > 1
