"""What the governor decides is done, told and recorded; over models and a machine that the test plays."""

import asyncio

import pytest

from mlxd.control.memory.governor import LADDER, PACE, Measure, Resident
from mlxd.control.memory.ledger import STEP, Ledger
from mlxd.control.memory.model_memory import ModelMemory
from mlxd.control.memory.pressure import PressureLevel
from mlxd.control.memory.relief import MemoryRelief, ReliefSettings
from mlxd.errors import ModelLoadingError
from mlxd.types import Restraint
from mlxd.wire.messages import CacheEvicted


class Model:
    """A holder that remembers what it hears."""

    def __init__(self, name, *, busy=False):
        self.name = name
        self.heard = []
        self.held_bytes = {f"{name}#1": 0}
        self.is_here = True
        self.is_busy = busy
        self.tenure = None
        self.leaving = ()

    @property
    def resident(self):
        return Resident(self.name, is_busy=self.is_busy, is_pinned=False, last_used=0.0) if self.is_here else None

    def terms_changed(self):
        self.heard.append("terms")

    def memory_freed(self, free):
        self.heard.append(("freed", free))

    def unload(self):
        self.is_here = False
        self.heard.append("unload")


class Rig:
    def __init__(self, *models):
        self.models = list(models)
        self.memory = ModelMemory(Ledger(10 * STEP), lambda: self.models)
        self.level = PressureLevel.NORMAL
        self.settings = ReliefSettings(is_on=True, large_prompt=100)
        self.taken, self.holding, self.evicted = [], 0, []
        self.relief = MemoryRelief(self.memory, evict=self.evict, read=lambda: self.level, settings=lambda: self.settings, telemetry=self)
        self.now = 0.0

    def measure_taken(self, measure):
        self.taken.append(measure)

    def measures_hold(self, count):
        self.holding = count

    async def evict(self, name):
        self.evicted.append(name)
        if name == "loading":
            raise ModelLoadingError("it loads")
        return CacheEvicted(entries=3, bytes=300)

    async def pass_time(self, level, seconds):
        self.level = level
        for _ in range(int(seconds)):
            self.relief.look(self.now)
            self.now += 1
            await asyncio.sleep(0)
            await asyncio.sleep(0)


@pytest.fixture
async def rig():
    return Rig(Model("one"))


async def test_workers_are_held_to_what_the_governor_says_and_hear_of_it_once(rig):
    await rig.pass_time(PressureLevel.WARNING, 5)
    assert rig.memory.held_to("one#1").restraint == Restraint(buffer_share=0.25)
    assert rig.models[0].heard == ["terms"]
    assert (rig.taken, rig.holding) == (["shrink_buffers"], 1)


async def test_caches_are_evicted_and_what_that_gave_is_recorded(rig):
    await rig.pass_time(PressureLevel.WARNING, 2 * PACE[PressureLevel.WARNING])
    assert rig.evicted == ["one"]
    (newest, _) = rig.relief.state.record
    assert (newest.measure, newest.models, newest.freed, newest.is_lifted) == (Measure.EVICT_BLOCKS, ("one",), 300, False)


async def test_a_model_that_cannot_be_evicted_now_is_passed_over(rig):
    rig.models.append(Model("loading"))
    await rig.pass_time(PressureLevel.WARNING, 2 * PACE[PressureLevel.WARNING])
    assert rig.evicted == ["one", "loading"]
    assert [entry.models for entry in rig.relief.state.record if entry.freed] == [("one",)]


async def test_models_go_and_none_comes_until_it_is_over(rig):
    await rig.pass_time(PressureLevel.CRITICAL, 30)
    assert "unload" in rig.models[0].heard
    assert rig.relief.state.measures == LADDER
    assert rig.memory.reclaimable("two") == 0
    assert not rig.memory.may_take("two#1")
    assert "short of memory" in rig.memory.describe()
    rig.models[0].heard.clear()
    await rig.pass_time(PressureLevel.NORMAL, 200)
    assert rig.memory.may_take("two#1")
    assert ("freed", 10 * STEP) in rig.models[0].heard, "who lacks memory may try again"
    assert rig.relief.state.measures == ()


async def test_a_worker_may_take_the_place_of_another_all_the_same(rig):
    assert rig.memory.reserve("one#1", STEP)
    rig.memory.restrain(Restraint(), admits_models=False)
    assert rig.memory.may_take("one#2")


async def test_where_the_system_does_not_tell_nothing_is_done(rig):
    await rig.pass_time(None, 100)
    assert (rig.taken, rig.relief.state.level) == ([], None)


async def test_what_is_switched_off_is_lifted_at_once_and_nothing_is_done(rig):
    await rig.pass_time(PressureLevel.WARNING, 60)
    rig.settings = ReliefSettings(is_on=False, large_prompt=100)
    await rig.pass_time(PressureLevel.CRITICAL, 60)
    assert rig.memory.held_to("one#1").restraint == Restraint()
    assert "unload" not in rig.models[0].heard
    state = rig.relief.state
    assert (state.is_on, state.measures, state.level) == (False, (), PressureLevel.CRITICAL)


async def test_another_large_prompt_is_taken_over_while_it_lasts(rig):
    await rig.pass_time(PressureLevel.WARNING, 60)
    rig.settings = ReliefSettings(is_on=True, large_prompt=7)
    await rig.pass_time(PressureLevel.WARNING, 1)
    assert rig.memory.held_to("one#1").restraint.largest_prompt == 7


async def test_the_record_keeps_the_last_twenty_newest_first(rig):
    await rig.pass_time(PressureLevel.WARNING, 60)
    await rig.pass_time(PressureLevel.NORMAL, 200)
    await rig.pass_time(PressureLevel.WARNING, 600)
    record = rig.relief.state.record
    assert len(record) == 20
    assert [entry.when for entry in record] == sorted((entry.when for entry in record), reverse=True)


# ---- what is really held ----


async def test_what_a_worker_holds_beyond_its_reservation_nobody_else_can_have(rig):
    rig.memory.reserve("one#1", 2 * STEP)
    rig.models[0].held_bytes = {"one#1": 5 * STEP}
    rig.relief.look(0.0)
    assert (rig.memory.ledger.excess, rig.memory.ledger.free) == (3 * STEP, 5 * STEP)
    assert not rig.memory.reserve("two#1", 6 * STEP)
    rig.models[0].held_bytes = {"one#1": STEP}
    rig.relief.look(1.0)
    assert (rig.memory.ledger.excess, rig.memory.ledger.free) == (0, 8 * STEP)
    assert ("freed", 8 * STEP) in rig.models[0].heard


async def test_a_part_of_what_may_stay_resident_is_as_large_as_that_of_what_is_reserved(rig):
    rig.memory.reserve("one#1", 3 * STEP)
    rig.memory.reserve("two#1", STEP)
    rig.memory.set_wired_limit(1000)
    assert [rig.memory.held_to(name).wired_bytes for name in ("one#1", "two#1", "three#1")] == [750, 250, 0]
    rig.models[0].heard.clear()
    rig.memory.release("two#1")
    assert rig.memory.held_to("one#1").wired_bytes == 1000
    assert "terms" in rig.models[0].heard
