"""Who gives way to whom, and who hears that there is memory again."""

import asyncio

import pytest

from mlxd.control.memory.ledger import Ledger
from mlxd.control.memory.model_memory import ModelMemory
from mlxd.types import ModelState
from mlxd.wire.messages import NeedsMemory
from tests.support.patience import PATIENCE
from tests.support.scripted_client import reach


def needs(total, device=None):
    return NeedsMemory(weights=total, cache=0, transients=0, device=device)


class Holder:
    """A model that gives way when the test lets it."""

    def __init__(self, memory, name, size, last_used, log, *, may_give_way=True):
        self.name = name
        self.gives_way_in = 0.0 if may_give_way else None
        self.leaving = ()
        self.is_busy = False
        self.last_used = last_used
        self.may_go = asyncio.Event()
        self.may_go.set()
        self._memory = memory
        self._log = log
        assert memory.reserve(f"{name}#1", size)

    def unload(self):
        self.gives_way_in = None
        self._log.append(("unload", self.name))

    def memory_freed(self, free):
        self._log.append(("freed", self.name, free))

    async def wait_gone(self):
        await self.may_go.wait()
        self._memory.release(f"{self.name}#1")


class Rig:
    def __init__(self, limit=100):
        self.holders = []
        self.log = []
        self.memory = ModelMemory(Ledger(limit), lambda: self.holders)

    def holds(self, name, size, *, last_used=0.0, **options):
        self.holders.append(Holder(self.memory, name, size, last_used, self.log, **options))
        return self.holders[-1]

    def unloaded(self):
        return [entry[1] for entry in self.log if entry[0] == "unload"]

    async def reclaim(self, model, amount):
        async with asyncio.timeout(PATIENCE):
            await self.memory.reclaim(model, amount)


@pytest.fixture
async def rig():
    return Rig()


# ---- giving way ----


async def test_the_one_used_longest_ago_goes_first_and_no_more_than_needed(rig):
    rig.holds("new", 30, last_used=3)
    rig.holds("old", 30, last_used=1)
    rig.holds("middle", 30, last_used=2)
    await rig.reclaim("asking", 40)
    assert rig.unloaded() == ["old"]
    await rig.reclaim("asking", 70)
    assert rig.unloaded() == ["old", "middle"]


async def test_where_there_is_room_nobody_goes(rig):
    rig.holds("one", 30)
    await rig.reclaim("asking", 70)
    assert rig.unloaded() == []


async def test_who_is_busy_or_pinned_stays_and_so_does_who_asks(rig):
    rig.holds("busy", 40, may_give_way=False)
    rig.holds("asking", 40)
    await rig.reclaim("asking", 100)
    assert rig.unloaded() == []
    assert rig.memory.reclaimable("asking") == 20


async def test_where_it_would_not_be_enough_nobody_goes_and_who_holds_nothing_never_does(rig):
    rig.holds("idle", 40, last_used=2)
    rig.holds("empty", 0, last_used=1)
    await rig.reclaim("asking", 101)
    assert rig.unloaded() == []
    await rig.reclaim("asking", 100)
    assert rig.unloaded() == ["idle"]


async def test_the_next_one_goes_when_the_first_is_gone(rig):
    """And not before: the first may have been enough."""
    first = rig.holds("first", 50, last_used=1)
    rig.holds("second", 50, last_used=2)
    first.may_go.clear()
    reclaiming = asyncio.create_task(rig.reclaim("asking", 100))
    await asyncio.sleep(0)
    assert rig.unloaded() == ["first"]
    first.may_go.set()
    await reclaiming
    assert rig.unloaded() == ["first", "second"]
    assert rig.memory.ledger.free == 100


async def test_what_could_be_had_is_what_is_free_and_what_would_give_way(rig):
    rig.holds("idle", 30)
    rig.holds("busy", 40, may_give_way=False)
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


async def test_a_model_that_is_wanted_again_while_it_gives_way_holds_nobody_up(make, factory):
    """Both want the same memory: one gets it, the other is told so, and nobody waits for ever."""
    make.limit = 100
    victim, old = await loaded(make, factory, "victim", 60)
    old.may_stop.clear()
    asking = make("asking", lifecycle={"load": "lazy"})
    answer = asyncio.create_task(asking.become_ready())
    new = await factory.next()
    needing = asyncio.create_task(new.need(60))
    await asyncio.wait_for(old.stopping.wait(), PATIENCE)  # it gives way
    again = asyncio.create_task(victim.become_ready())  # a request for it
    back = await factory.next()
    needing_again = asyncio.create_task(back.need(60))
    old.may_stop.set()
    await asyncio.wait_for(asyncio.gather(needing, needing_again), PATIENCE)
    assert sum(make.memory.ledger.by_model().values()) <= 100
    got = [client for client in (new, back) if not client._loaded.done()]
    assert len(got) == 1  # the other's load was refused
    got[0].become_ready()
    done, _ = await asyncio.wait({answer, again}, timeout=PATIENCE)
    assert done == {answer, again}
    assert sorted(task.exception() is None for task in done) == [False, True]


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
