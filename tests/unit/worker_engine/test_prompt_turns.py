"""How long prompts wait for each other: half of the device goes by arrival, half to whoever has least left."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlxd.types import Limits
from mlxd.worker.encoded_prompt import EncodedPrompt
from tests.support.examples import examples
from tests.unit.worker_engine.serving import ROOT, Serving
from tests.unit.worker_engine.simulated_device import SimulatedDevice

FAST = SimulatedDevice(0.004, 0.0003, 0.0005, 0.0004, noise=0.0)
CPU = SimulatedDevice(0.055, 0.009, 0.005, 0.007, noise=0.0)
BIG = SimulatedDevice(0.3, 0.02, 0.01, 0.015, noise=0.0)

ARRIVALS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 400)), min_size=2, max_size=10)  # steps since the last one, tokens


class Waits:
    """What the device would have computed before each prompt's first token by arrival, and by equal shares."""

    def __init__(self, serving, arrivals):
        self.sizes, self.by_arrival, self.there = {}, {}, {}
        for number, (steps, size) in enumerate(arrivals):
            for _ in range(steps):
                if not serving.scheduler.is_idle:
                    serving.step()
            name = str(number)
            left = {one: count - serving.prefilled[one] for one, count in self.sizes.items() if one not in serving.first}
            self.by_arrival[name] = sum(left.values()) + size
            self.there[name] = left
            for others in (self.there[one] for one in left):
                others[name] = size
            self.sizes[name] = size
            serving.ask(name, size, 1)
        serving.until_idle()

    def by_shares(self, name):
        return sum(min(left, self.sizes[name]) for left in self.there[name].values()) + self.sizes[name]


@example(arrivals=[(0, 391), (0, 318), (0, 238), (4, 153), (1, 163), (3, 280), (5, 89), (4, 153), (2, 145), (6, 238)], step_tokens=4)
@given(arrivals=ARRIVALS, step_tokens=st.integers(4, 120))
@settings(deadline=None, max_examples=examples(32))
def test_nobody_waits_longer_than_twice_by_arrival_nor_twice_by_equal_shares(arrivals, step_tokens):
    serving = Serving(FAST, limits=Limits(step_tokens=step_tokens))
    waits = Waits(serving, arrivals)
    for name, computed in serving.before_first.items():
        of_last_steps = (3 + len(waits.there[name])) * step_tokens  # what is left of a step when one is done is the next one's
        assert computed <= 2 * waits.by_arrival[name] + of_last_steps
        assert computed <= 2 * waits.by_shares(name) + of_last_steps


@pytest.mark.parametrize(
    ("device", "streams"), [(FAST, 8), (CPU, 0), (CPU, 1), (CPU, 8), (BIG, 1)], ids=["fast-8", "cpu-0", "cpu-1", "cpu-8", "big-1"]
)
def test_short_requests_go_past_a_long_one_which_takes_no_longer_than_twice(device, streams):
    def long_one(shorts):
        serving = Serving(device)
        for number in range(streams):
            serving.ask(f"stream {number}", 40, 4000)
        serving.until(lambda: len(serving.first) == streams)
        for _ in range(20):
            serving.step() if streams else None
        serving.ask("long", 16000, 2)
        for number in range(shorts):
            serving.step()
            serving.step()
            serving.ask(f"short {number}", 40, 8)
        serving.until(lambda: "long" in serving.first)
        return serving

    alone, beside = long_one(0), long_one(10)
    waits = [beside.first[f"short {number}"] for number in range(10)]
    assert max(waits) < alone.first["long"] / 8
    assert max(waits) < 4 + 10 * 40 * 2 * device.token * (1 if not streams else 4)
    assert beside.first["long"] < 2 * alone.first["long"]


def test_short_requests_without_end_hold_a_long_one_up_by_half_at_most():
    serving = Serving(CPU)
    serving.ask("long", 8000, 1)
    number = 0
    while "long" not in serving.first:
        serving.ask(f"short {number}", 60, 1)
        serving.step()
        number += 1
    assert serving.prefilled["long"] == 8000
    assert serving.computed <= 2.1 * 8000


def test_a_prompt_whose_beginning_is_cached_is_a_short_one():
    serving = Serving(CPU)
    history = serving.ask("turn", 3000, 1)
    serving.until_idle()
    serving.ask("long", 8000, 1)
    serving.step()
    serving.ask("middle", 1000, 1)
    serving.ask("next turn", [*history, *serving.words(50)], 1)
    serving.until_idle()
    assert serving.cached["next turn"] == 2992
    assert serving.first["next turn"] < serving.first["middle"] < serving.first["long"]
    assert serving.first["next turn"] < 4


def test_a_beginning_that_somebody_else_computes_is_waited_for():
    """Both turns have 3,000 tokens in common: the second one goes on where the first one is done with these, and overtakes it then."""
    serving = Serving(CPU)
    system = serving.words(3000)
    serving.ask("first", [*system, *serving.words(4000)], 1)
    serving.step()
    serving.ask("second", [*system, *serving.words(50)], 1)
    serving.until_idle()
    assert serving.prefilled["second"] < 70
    assert serving.first["second"] < serving.first["first"] * 0.5


def test_a_better_priority_has_both_halves():
    serving = Serving(CPU)
    serving.ask("urgent and long", 4000, 1, priority=-1)
    serving.step()
    serving.ask("short", 40, 1)
    serving.until_idle()
    assert list(serving.first) == ["urgent and long", "short"]


def test_one_that_has_waited_long_enough_goes_first_for_half_only():
    """Its rank is better by its age, others' by their priority."""
    serving = Serving(CPU)
    serving.ask("patient", 4000, 1, priority=1)
    serving.until(lambda: serving.now > 12)
    for number in range(40):
        serving.ask(f"urgent {number}", 200, 1)
    serving.until_idle()
    assert serving.first["patient"] < 2.2 * 4000 * CPU.token


# ---- several answers to one request ----


def test_a_list_of_prompts_is_as_long_as_all_of_them():
    serving = Serving(CPU)
    for number in range(60):
        serving.ask(f"list {number}", 100, 1, parent="list")
    serving.step()
    serving.ask("short", 400, 1)
    serving.until_idle()
    assert serving.before_first["short"] < 2 * 400 + 400


def test_answers_to_one_prompt_are_as_long_as_that():
    serving = Serving(CPU)
    serving.ask("long", 8000, 1)
    serving.step()
    prompt = EncodedPrompt(serving.words(500), 1, ROOT)
    for number in range(16):
        serving.send(f"choice {number}", prompt, parent="choices")
    serving.ask("longer", 700, 1)
    serving.until_idle()
    assert max(serving.first[f"choice {number}"] for number in range(16)) < serving.first["longer"] < serving.first["long"]
    assert sum(serving.prefilled[f"choice {number}"] for number in range(16)) < 500 + 16 * 16


def test_many_answers_to_one_request_give_a_place_to_another_request():
    serving = Serving(CPU, limits=Limits(max_sequences=8))
    prompt = EncodedPrompt(serving.words(100), 400, ROOT)
    for number in range(16):
        serving.send(f"choice {number}", prompt, parent="choices")
    serving.until(lambda: len(serving.scheduler.running) == 8 and len(serving.first) == 8)
    asked = serving.now
    serving.ask("small", 40, 20)
    serving.until(lambda: "small" in serving.first)
    assert serving.now - asked < 3
    assert len(serving.preempted) == 1
    serving.until_idle()
    assert serving.preempted == ["choice 7"]
    assert len(serving.first) == 17


def test_two_requests_for_many_answers_have_as_many_places_each():
    serving = Serving(CPU, limits=Limits(max_sequences=8))
    for name in "ab":
        prompt = EncodedPrompt(serving.words(100), 300, ROOT)
        for number in range(8):
            serving.send(f"{name} {number}", prompt, parent=name)
        for _ in range(60):
            serving.step()
    places = [sequence.sharer for sequence in serving.scheduler.running.values()]
    assert sorted(places) == [*"aaaabbbb"]
    assert len(serving.preempted) == 4
    serving.until_idle()
    assert len(serving.preempted) == 4


def test_an_urgent_request_gives_no_place_to_another_one():
    serving = Serving(CPU, limits=Limits(max_sequences=4))
    prompt = EncodedPrompt(serving.words(100), 100, ROOT)
    for number in range(8):
        serving.send(f"choice {number}", prompt, parent="choices", priority=-1)
    serving.until(lambda: len(serving.first) == 4)
    serving.ask("small", 40, 4)
    serving.until_idle()
    assert serving.preempted == []


# ---- room ----


def test_one_that_has_no_room_is_passed_by_what_fits_beside_it():
    serving = Serving(CPU, blocks=400)
    serving.ask("running", 3200, 400)
    serving.until(lambda: "running" in serving.first)
    serving.ask("large", 4800, 4)
    serving.ask("small", 400, 4)
    serving.ask("medium", 2000, 4)
    serving.until(lambda: "large" in serving.first)
    assert "small" in serving.first
    assert "medium" not in serving.first
    assert serving.first["small"] < 20
    assert serving.preempted == []
    serving.until_idle()


def test_small_ones_without_end_do_not_keep_a_large_one_out():
    serving = Serving(CPU, blocks=400)
    serving.ask("running", 3200, 100)
    serving.until(lambda: "running" in serving.first)
    serving.ask("large", 4800, 4)
    number = 0
    while "large" not in serving.first:
        serving.ask(f"small {number}", 200, 100)
        serving.step()
        number += 1
        assert number < 3000
    assert len([name for name in serving.first if name.startswith("small")]) > 3


def test_a_short_one_is_let_in_only_where_the_prompt_that_is_being_computed_still_fits():
    serving = Serving(CPU, blocks=300)
    serving.ask("long", 4500, 40)
    serving.step()
    serving.ask("short", 600, 100)
    serving.until_idle()
    assert serving.preempted == []
    assert serving.first["short"] > serving.first["long"]
