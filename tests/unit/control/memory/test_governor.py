"""The order in which memory is given back, how fast, how far, and when it is taken again."""

from hypothesis import given
from hypothesis import strategies as st

from mlxd.control.memory.governor import CALM, EASE, LADDER, PACE, Governor, Lifted, Measure, Resident, Taken
from mlxd.control.memory.pressure import PressureLevel
from mlxd.types import Restraint

NORMAL, WARNING, CRITICAL = PressureLevel
MODEL = Resident("one", is_busy=False, is_pinned=False, last_used=1.0)
BUSY = Resident("busy", is_busy=True, is_pinned=False, last_used=0.0)
PINNED = Resident("pinned", is_busy=False, is_pinned=True, last_used=0.0)


class Machine:
    """A governor that is asked once a second."""

    def __init__(self, *residents):
        self.governor = Governor(large_prompt=100)
        self.residents = list(residents)
        self.now = 1000.0

    def stay(self, level, seconds):
        """What is done while the level stays for so many seconds."""
        done = []
        for _ in range(int(seconds)):
            done += self.governor.observe(self.now, level, self.residents)
            self.now += 1
        return done


def taken(steps):
    return [step.measure for step in steps if isinstance(step, Taken)]


def lifted(steps):
    return [step.measure for step in steps if isinstance(step, Lifted)]


def first_times(measures):
    return list(dict.fromkeys(measures))


def test_nothing_is_done_while_there_is_memory():
    machine = Machine(MODEL)
    assert machine.stay(NORMAL, 1000) == []
    assert machine.governor.restraint == Restraint()
    assert machine.governor.admits_models


def test_a_warning_takes_one_measure_after_the_other_up_to_large_prompts():
    machine = Machine(MODEL)
    assert machine.stay(WARNING, 1) == [Taken(Measure.SHRINK_BUFFERS, ("one",))]
    assert machine.stay(WARNING, PACE[WARNING] - 1) == []
    steps = machine.stay(WARNING, 300)
    assert first_times(taken(steps)) == list(LADDER[1:5])
    assert machine.governor.measures == LADDER[:5]
    assert machine.governor.admits_models


def test_a_critical_level_goes_faster_and_on_to_models():
    machine = Machine(MODEL)
    steps = machine.stay(CRITICAL, 6 * PACE[CRITICAL])
    assert first_times(taken(steps)) == list(LADDER[:6])
    assert steps[-1] == Taken(Measure.UNLOAD_IDLE, ("one",))
    assert not machine.governor.admits_models


def test_blocks_are_evicted_again_and_again_while_it_lasts():
    machine = Machine(MODEL)
    steps = machine.stay(WARNING, 100)
    assert taken(steps).count(Measure.EVICT_BLOCKS) >= 5


def test_restraint_grows_with_the_measures():
    machine = Machine(MODEL)
    seen = []
    for _ in range(5):
        machine.stay(WARNING, PACE[WARNING])
        seen.append(machine.governor.restraint)
    assert [one.buffer_share for one in seen] == [0.25] * 5
    assert [one.cache_share for one in seen] == [1.0, 1.0, 0.5, 0.25, 0.25]
    assert [one.largest_prompt for one in seen] == [None, None, None, None, 100]
    assert seen[-1].patience > 0, "at a warning large prompts wait"
    machine.stay(CRITICAL, 1)
    assert machine.governor.restraint.patience == 0, "and where it is critical they are refused"


# ---- models ----


def test_idle_models_go_one_by_one_the_least_recently_used_first_and_pinned_ones_stay():
    recent = Resident("recent", is_busy=False, is_pinned=False, last_used=9.0)
    machine = Machine(recent, MODEL, PINNED)
    steps = machine.stay(CRITICAL, 6 * PACE[CRITICAL])
    assert steps[-1] == Taken(Measure.UNLOAD_IDLE, ("one",))
    machine.residents = [recent, PINNED]
    assert [step for step in machine.stay(CRITICAL, PACE[CRITICAL]) if step.measure is Measure.UNLOAD_IDLE] == [
        Taken(Measure.UNLOAD_IDLE, ("recent",))
    ]
    machine.residents = [PINNED]
    steps = machine.stay(CRITICAL, 100)
    assert {step.models for step in steps if step.measure in {Measure.UNLOAD_IDLE, Measure.UNLOAD_USED}} == {()}


def test_one_that_is_used_goes_only_when_nobody_is_idle():
    machine = Machine(MODEL, BUSY)
    steps = machine.stay(CRITICAL, 6 * PACE[CRITICAL])
    assert steps[-1].models == ("one",)
    machine.residents = [BUSY]
    steps = machine.stay(CRITICAL, PACE[CRITICAL])
    assert [step for step in steps if step.measure is not Measure.EVICT_BLOCKS] == [Taken(Measure.UNLOAD_USED, ("busy",))]


def test_nobody_goes_while_another_leaves():
    """It may have been enough."""
    leaving = Resident("gone", is_busy=False, is_pinned=False, last_used=0.0, is_leaving=True)
    machine = Machine(MODEL, BUSY)
    machine.stay(CRITICAL, 6 * PACE[CRITICAL])
    machine.residents = [BUSY, leaving]
    assert set(taken(machine.stay(CRITICAL, 100))) == {Measure.EVICT_BLOCKS}
    assert machine.governor.measures == LADDER[:6]
    machine.residents = [BUSY]
    assert machine.stay(CRITICAL, PACE[CRITICAL])[-1] == Taken(Measure.UNLOAD_USED, ("busy",))


# ---- back ----


def test_what_was_given_is_taken_back_slowly_last_first():
    machine = Machine(MODEL)
    machine.stay(WARNING, 100)
    assert machine.stay(NORMAL, CALM - 1) == []
    steps = machine.stay(NORMAL, 6 * EASE)
    assert lifted(steps) == list(reversed(LADDER[:5]))
    assert machine.governor.restraint == Restraint()


def test_a_short_calm_lifts_nothing_and_the_way_goes_on_from_there():
    machine = Machine(MODEL)
    machine.stay(WARNING, 2 * PACE[WARNING])
    rung = machine.governor.rung
    assert machine.stay(NORMAL, CALM - 1) == []
    assert taken(machine.stay(WARNING, 1))[-1] is LADDER[rung]


def test_models_are_admitted_again_at_a_warning_and_what_that_calls_for_stays():
    machine = Machine(PINNED)
    machine.stay(CRITICAL, 60)
    assert machine.governor.rung == len(LADDER)
    steps = machine.stay(WARNING, CALM + 5 * EASE)
    assert lifted(steps) == [Measure.UNLOAD_USED, Measure.UNLOAD_IDLE]
    assert machine.governor.measures == LADDER[:5]
    assert machine.governor.admits_models


def test_no_model_is_unloaded_once_it_is_only_a_warning():
    machine = Machine(PINNED)
    machine.stay(CRITICAL, 60)
    machine.residents = [MODEL, BUSY]
    steps = machine.stay(WARNING, CALM - 1)
    assert set(taken(steps)) <= {Measure.EVICT_BLOCKS}


def test_everything_is_lifted_at_once_when_it_is_switched_off():
    machine = Machine(MODEL)
    machine.stay(WARNING, 100)
    assert lifted(machine.governor.lift_all()) == list(reversed(LADDER[:5]))
    assert machine.governor.restraint == Restraint()
    assert machine.governor.lift_all() == []


@given(st.lists(st.tuples(st.sampled_from(PressureLevel), st.integers(1, 40)), max_size=30))
def test_in_whatever_way_levels_come_measures_hold_in_their_order_and_go_in_the_other(path):
    machine = Machine(PINNED)
    holding = []
    for level, seconds in path:
        for step in machine.stay(level, seconds):
            if isinstance(step, Lifted):
                assert holding.pop() is step.measure
            elif step.measure not in holding:
                holding.append(step.measure)
        assert tuple(holding) == machine.governor.measures == LADDER[: len(holding)]
    machine.stay(NORMAL, CALM + 8 * EASE)
    assert machine.governor.measures == ()
