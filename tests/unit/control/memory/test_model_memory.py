"""Who gives way to whom, and who hears that there is memory again."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from mlxd.control.memory.exchange import Claim, Tenure
from mlxd.control.memory.ledger import Ledger
from mlxd.control.memory.model_memory import ModelMemory
from mlxd.types import ModelState, Restraint
from mlxd.wire.messages import NeedsMemory
from tests.support.patience import PATIENCE
from tests.support.scripted_client import reach
from tests.unit.control.model.supervisor.rig import asked

GIB = 2**30


def needs(total, device=None):
    return NeedsMemory(weights=total, cache=0, transients=0, device=device)


class Holder:
    """A model that gives way when it is told to, and is gone when the test lets it."""

    def __init__(self, memory, name, size, last_used, log, *, may_give_way=True):
        self.name = name
        self.tenure = Tenure(since=-1e9, turn=0.0, last_used=last_used, stays=not may_give_way)
        self.leaving = ()
        self.requests_waiting = 0
        self.held_bytes = {}
        self.may_go = True
        self._memory = memory
        self._log = log
        assert memory.reserve(f"{name}#1", size)

    def unload(self):
        self._log.append(("unload", self.name))
        self.tenure, self.leaving = None, (f"{self.name}#1",)
        if self.may_go:
            self.go()

    def go(self):
        self._memory.release(f"{self.name}#1")
        self.leaving = ()

    def use(self, *, is_busy):
        self.tenure = replace(self.tenure, is_busy=is_busy)
        self._memory.note()

    def terms_changed(self):
        self._log.append(("closed" if self._memory.is_closed(self.name) else "open", self.name))

    def memory_freed(self, free):
        self._log.append(("freed", self.name, free))


class Rig:
    def __init__(self, limit=100):
        self.holders = []
        self.log = []
        self.told = []
        self.memory = ModelMemory(Ledger(limit), lambda: self.holders, telemetry=self)

    def model_exchanged(self, model):
        self.told.append(model)

    def turn_awaited(self, model, seconds):
        self.told.append((model, seconds >= 0))

    def holds(self, name, size, *, last_used=0.0, **options):
        self.holders.append(Holder(self.memory, name, size, last_used, self.log, **options))
        return self.holders[-1]

    def heard(self, what):
        return [entry[1] for entry in self.log if entry[0] == what]

    def unloaded(self):
        return self.heard("unload")

    def claim(self, model, amount, since=0.0):
        demand = self.memory.demand(f"{model}#1", needs(amount), None)
        return self.memory.claim(Claim(model=model, size=amount, since=since), demand)

    async def reclaim(self, model, amount):
        """Whether there is memory for it, at last."""
        turn = self.claim(model, amount)
        async with asyncio.timeout(PATIENCE):
            met = await turn.met
        turn.withdraw()
        return met


@pytest.fixture
async def rig():
    return Rig()


# ---- giving way ----


async def test_the_one_used_longest_ago_goes_first_and_no_more_than_needed(rig):
    rig.holds("new", 30, last_used=3)
    rig.holds("old", 30, last_used=1)
    rig.holds("middle", 30, last_used=2)
    assert await rig.reclaim("asking", 40)
    assert rig.unloaded() == ["old"]
    assert await rig.reclaim("more", 30)
    assert rig.unloaded() == ["old", "middle"]
    assert rig.told == ["old", "middle"]  # nobody had to wait


async def test_where_there_is_room_nobody_goes(rig):
    rig.holds("one", 30)
    assert await rig.reclaim("asking", 70)
    assert rig.unloaded() == []


async def test_who_is_pinned_stays_and_so_does_who_asks(rig):
    rig.holds("pinned", 40, may_give_way=False)
    rig.holds("asking", 40)
    assert not await rig.reclaim("asking", 61)
    assert rig.unloaded() == []
    assert rig.memory.reclaimable("asking") == 20


async def test_where_it_would_not_be_enough_nobody_goes_and_who_holds_nothing_never_does(rig):
    rig.holds("idle", 40, last_used=2)
    rig.holds("empty", 0, last_used=1)
    assert not await rig.reclaim("asking", 101)
    assert rig.unloaded() == []
    assert await rig.reclaim("asking", 100)
    assert rig.unloaded() == ["idle"]


async def test_what_leaves_is_waited_for(rig):
    first = rig.holds("first", 50, last_used=1)
    rig.holds("second", 50, last_used=2)
    first.may_go = False
    turn = rig.claim("asking", 100)
    assert rig.unloaded() == ["first", "second"]
    assert not turn.met.done()
    first.go()
    assert turn.met.result()
    assert rig.memory.ledger.by_model() == {"asking": 100}
    turn.withdraw()
    assert rig.told == ["first", "second", ("asking", True)]


async def test_who_is_in_use_is_closed_finishes_and_goes(rig):
    busy = rig.holds("busy", 80)
    busy.use(is_busy=True)
    turn = rig.claim("asking", 50)
    assert rig.memory.is_closed("busy")
    assert (rig.heard("closed"), rig.unloaded()) == (["busy"], [])
    assert rig.memory.outlook("busy") is not None
    with capture_logs() as logs:
        busy.use(is_busy=False)
        async with asyncio.timeout(PATIENCE):
            assert await turn.met
    assert rig.unloaded() == ["busy"]
    assert [line["event"] for line in logs] == ["model_gives_way"]


async def test_a_claim_that_is_withdrawn_opens_who_was_closed_for_it_and_unloads_nobody(rig):
    busy = rig.holds("busy", 80)
    busy.use(is_busy=True)
    with capture_logs() as logs:
        turn = rig.claim("asking", 50)
        turn.withdraw()
    assert [line["event"] for line in logs] == ["model_closed_for_turn", "model_waits_for_turn", "model_opened_again"]
    assert not rig.memory.is_closed("busy")
    assert rig.memory.outlook("asking") is None
    assert rig.heard("open") == ["busy"]
    busy.use(is_busy=False)
    assert rig.unloaded() == []


async def test_what_leaves_for_a_claim_is_nobody_elses(rig):
    """A model that loads by itself does not wait for memory that somebody has claimed."""
    going = rig.holds("going", 80)
    going.may_go = False
    turn = rig.claim("asking", 80)
    await asyncio.wait_for(rig.memory.wait_for_leaving("eager", 60), PATIENCE)
    going.go()
    assert turn.met.result()


async def test_what_does_not_leave_after_all_is_waited_for_no_more():
    """A cache of the pool was to shrink; it gets a size of its own before it has, and nothing is freed by that."""
    memory = ModelMemory(Ledger(10 * GIB), list, available=lambda: 20 * GIB)
    pooled = NeedsMemory(weights=0, cache=8 * GIB, transients=0)
    memory.share("pooled#1", pooled, lambda _: None)
    assert memory.reserve("pooled#1", 8 * GIB)
    memory.demand("asking#1", needs(5 * GIB), None)
    waiting = asyncio.create_task(memory.wait_for_leaving("asking", 5 * GIB))
    await asyncio.sleep(0)
    assert not waiting.done()
    memory.share("pooled#1", pooled, None)
    await asyncio.wait_for(waiting, PATIENCE)


async def test_another_limit_serves_or_refuses_those_that_wait(rig):
    busy = rig.holds("busy", 80)
    busy.use(is_busy=True)
    first, second = rig.claim("first", 50, since=1), rig.claim("second", 90, since=2)
    rig.memory.set_limit(130)
    assert first.met.result()
    busy.tenure = replace(busy.tenure, stays=True)  # pinned meanwhile
    rig.memory.note()
    async with asyncio.timeout(PATIENCE):
        assert not await second.met


async def test_who_may_not_be_loaded_for_want_of_memory_is_refused(rig):
    busy = rig.holds("busy", 80)
    busy.use(is_busy=True)
    turn = rig.claim("asking", 50)
    rig.memory.restrain(Restraint(), admits_models=False)
    async with asyncio.timeout(PATIENCE):
        assert not await turn.met


async def test_what_could_be_had_is_what_is_free_and_what_would_give_way(rig):
    rig.holds("idle", 30)
    rig.holds("pinned", 40, may_give_way=False)
    assert (rig.memory.reclaimable("asking"), rig.memory.reclaimable("idle")) == (60, 30)


async def test_a_model_with_two_workers_is_one_holder(rig):
    rig.holds("one", 30)
    rig.memory.reserve("one#2", 20)
    assert rig.memory.ledger.by_model() == {"one": 50}
    assert rig.memory.describe() == "memory.limit is 100 B, of which one 50 B is reserved"


async def test_an_empty_account_is_described(rig):
    assert rig.memory.describe() == "memory.limit is 100 B, of which nothing is reserved"


async def test_a_name_may_hold_any_sign(rig):
    """Names are the operator's: only the last sign of a holder is ours."""
    rig.memory.reserve("org/name:8b#1", 10)
    assert rig.memory.ledger.by_model() == {"org/name:8b": 10}


# ---- hearing of memory ----


async def test_everybody_hears_in_the_files_order_how_much_is_free(rig):
    for name in ("b", "a", "c"):
        rig.holds(name, 20)
    rig.log.clear()
    rig.memory.release("a#1")
    assert rig.log == [("freed", "b", 60), ("freed", "a", 60), ("freed", "c", 60)]


async def test_nobody_hears_where_nothing_was_freed(rig):
    rig.holds("one", 20)
    rig.log.clear()
    rig.memory.release("nobody#1")
    rig.memory.reserve("one#1", 30)
    rig.memory.reserve("one#1", 300)
    rig.memory.set_limit(90)
    assert rig.log == []


async def test_a_smaller_reservation_and_a_larger_limit_are_memory_too(rig):
    rig.holds("one", 50)
    rig.log.clear()
    rig.memory.reserve("one#1", 40)
    rig.memory.set_limit(200)
    assert rig.log == [("freed", "one", 60), ("freed", "one", 160)]


# ---- with real models ----


async def loaded(make, factory, name, size):
    supervisor = make(name)
    supervisor.want()
    client = await factory.next()
    await client.need(size)
    client.become_ready()
    await reach(supervisor, ModelState.READY)
    return supervisor, client


async def test_a_model_that_is_wanted_again_while_it_gives_way_has_its_turn_after_the_other(make, factory):
    """Both want the same memory: each gets it, one after the other."""
    make.limit = 100
    victim, old = await loaded(make, factory, "victim", 60)
    old.may_stop.clear()
    asking = make("asking", lifecycle={"load": "lazy"})
    answer = asyncio.create_task(asked(asking))
    new = await factory.next()
    needing = asyncio.create_task(new.need(60))
    await asyncio.wait_for(old.stopping.wait(), PATIENCE)  # it gives way
    again = asyncio.create_task(asked(victim))  # a request for it
    back = await factory.next()
    needing_again = asyncio.create_task(back.need(60))
    old.may_stop.set()
    await asyncio.wait_for(needing, PATIENCE)
    assert make.memory.ledger.by_model() == {"asking": 60}
    new.become_ready()
    assert (await asyncio.wait_for(answer, PATIENCE)).client is new
    await asyncio.wait_for(needing_again, PATIENCE)
    assert make.memory.ledger.by_model() == {"victim": 60}
    back.become_ready()
    assert (await asyncio.wait_for(again, PATIENCE)).client is back


# ---- the device ----


async def test_what_the_device_holds_bounds_the_limit_and_a_refusal_says_so(rig):
    rig.memory.demand("one#1", needs(50, device=80), None)
    assert rig.memory.ledger.limit == 80
    assert rig.memory.describe() == "the device holds 80 B, of which nothing is reserved"
    assert not rig.memory.reserve("one#1", 90)


async def test_a_device_that_holds_more_than_the_limit_changes_nothing(rig):
    rig.memory.demand("one#1", needs(50, device=500), None)
    assert rig.memory.ledger.limit == 100
    assert rig.memory.describe() == "memory.limit is 100 B, of which nothing is reserved"


async def test_a_worker_that_does_not_know_leaves_what_another_said(rig):
    rig.memory.demand("one#1", needs(50, device=80), None)
    rig.memory.demand("two#1", needs(50), None)
    assert rig.memory.ledger.limit == 80


async def test_another_limit_is_bounded_too_and_whoever_waits_hears_of_a_larger_device(rig):
    rig.holds("one", 10)
    rig.memory.demand("two#1", needs(50, device=80), None)
    rig.memory.set_limit(200)
    assert (rig.memory.limit, rig.memory.ledger.limit) == (200, 80)
    rig.log.clear()
    rig.memory.demand("two#1", needs(50, device=150), None)
    assert rig.memory.ledger.limit == 150
    assert ("freed", "one", 140) in rig.log
