"""Models that do not fit side by side, and requests that alternate between them."""

import asyncio

import pytest

from mlxd.control.memory.waiting_bounds import WaitingBounds
from mlxd.errors import InsufficientMemoryError, ModelDrainedError, ModelLoadingError, ShuttingDownError
from mlxd.types import ModelState
from mlxd.wire.messages import NeedsMemory
from tests.support.patience import PATIENCE
from tests.support.scripted_client import reach
from tests.unit.control.model.supervisor.rig import asked


async def loads(factory, size=60):
    client = await factory.next()
    needing = asyncio.create_task(client.need(size))
    return client, needing


async def serve(supervisor, factory):
    """A request loads it."""
    asking = asyncio.create_task(asked(supervisor))
    client, needing = await loads(factory)
    await asyncio.wait_for(needing, PATIENCE)
    client.become_ready()
    await asyncio.wait_for(asking, PATIENCE)
    return client


class Use:
    """A request that has a model, until it is let end."""

    def __init__(self, supervisor):
        self._supervisor = supervisor
        self.begun, self._may_end = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._hold())

    async def _hold(self):
        async with self._supervisor.hold():
            self.begun.set()
            await self._may_end.wait()

    async def begin(self):
        await asyncio.wait_for(self.begun.wait(), PATIENCE)
        return self

    async def end(self):
        self._may_end.set()
        await asyncio.wait_for(self._task, PATIENCE)


async def turns(count=20):
    """Lets everybody do what can be done without waiting."""
    for _ in range(count):
        await asyncio.sleep(0)


def pair(make, residence, turn="1h", *, limit=100):
    make.limit = limit
    lazy = {"load": "lazy", "residence": residence, "turn": turn}
    one, two = make("one", lifecycle=lazy), make("two", lifecycle=lazy)
    make.memory.set_waiting(WaitingBounds(patience=7200.0))
    return one, two


async def test_who_has_just_been_loaded_stays_and_goes_on_serving_while_another_waits(make, factory):
    one, two = pair(make, "1h")
    client = await serve(one, factory)
    asking = asyncio.create_task(asked(two))
    _, needing = await loads(factory)
    for _ in range(5):
        assert (await asked(one)).client is client
        await asyncio.sleep(0)
    assert not needing.done()
    assert one.state is ModelState.READY
    asking.cancel()


async def test_then_it_gives_way(make, factory):
    one, two = pair(make, "50ms")
    first = await serve(one, factory)
    second = await serve(two, factory)
    assert first.stopped.is_set()
    assert (await asked(two)).client is second
    await reach(one, ModelState.STOPPED)


async def test_one_that_leaves_earlier_makes_room_at_once(make, factory):
    one, two = pair(make, "1h")
    await serve(one, factory)
    asking = asyncio.create_task(asked(two))
    client, needing = await loads(factory)
    one.unload()
    await asyncio.wait_for(needing, PATIENCE)
    client.become_ready()
    await asyncio.wait_for(asking, PATIENCE)


async def test_alternating_requests_change_places_no_more_often_than_the_residence_allows(make, factory):
    """Ten requests for each, all at once: each model is loaded once, and answers all of its own."""
    one, two = pair(make, "100ms")
    asking = [asyncio.create_task(asked(model)) for _ in range(10) for model in (one, two)]
    for _ in range(2):
        client = await factory.next()
        await asyncio.wait_for(client.need(60), PATIENCE)
        client.become_ready()
    await asyncio.wait_for(asyncio.gather(*asking), PATIENCE)
    assert len(factory.made) == 2


async def test_a_pinned_one_is_not_waited_for(make, factory):
    make.limit = 100
    one = make("one", lifecycle={"load": "lazy", "pin": True})
    two = make("two", lifecycle={"load": "lazy"})
    await serve(one, factory)
    asking = asyncio.create_task(asked(two))
    await (await factory.next()).need(60)
    with pytest.raises(InsufficientMemoryError, match="one 60 B is reserved"):
        await asyncio.wait_for(asking, PATIENCE)


async def test_one_that_is_in_use_gives_way_when_it_is_idle(make, factory):
    one, two = pair(make, "0s")
    client = await serve(one, factory)
    use = await Use(one).begin()
    asking = asyncio.create_task(asked(two))
    other, needing = await loads(factory)
    await turns()
    assert (needing.done(), one.state) == (False, ModelState.READY)
    await use.end()
    await asyncio.wait_for(needing, PATIENCE)
    other.become_ready()
    await asyncio.wait_for(asking, PATIENCE)
    assert client.stopped.is_set()


async def test_one_that_is_in_use_all_the_time_gives_way_when_its_turn_is_over(make, factory):
    """New requests for it wait meanwhile, and have it back afterwards."""
    one, two = pair(make, "0s", "1ms")
    await serve(one, factory)
    use = await Use(one).begin()
    await asyncio.sleep(0.002)
    asking = asyncio.create_task(asked(two))
    other, needing = await loads(factory)
    await turns()
    later = Use(one)  # and the next one is there before the first is over
    await turns()
    assert not later.begun.is_set()
    await use.end()
    await asyncio.wait_for(needing, PATIENCE)
    other.become_ready()
    assert (await asyncio.wait_for(asking, PATIENCE)).client is other
    back, needing = await loads(factory)
    await asyncio.wait_for(needing, PATIENCE)
    back.become_ready()
    await (await later.begin()).end()
    assert other.stopped.is_set()


async def test_who_waited_for_a_load_is_served_by_it_however_short_its_turn_is(make, factory):
    one, two = pair(make, "0s", "1ms")
    uses = [Use(one) for _ in range(3)]
    client, needing = await loads(factory)
    await needing
    asking = asyncio.create_task(asked(two))
    _, other = await loads(factory)
    client.become_ready()
    for use in uses:
        await use.begin()
    assert not other.done()
    for use in uses:
        await use.end()
    await asyncio.wait_for(other, PATIENCE)
    asking.cancel()


async def test_a_turn_that_never_ends_is_waited_for_until_the_model_is_idle(make, factory):
    one, two = pair(make, "0s", "never")
    await serve(one, factory)
    use = await Use(one).begin()
    asking = asyncio.create_task(asked(two))
    _, needing = await loads(factory)
    await (await Use(one).begin()).end()  # it takes new ones
    assert not needing.done()
    await use.end()
    await asyncio.wait_for(needing, PATIENCE)
    asking.cancel()


# ---- who does not get its turn ----


async def waiting(make, factory, **bounds):
    """A model that is in use, and a request for another, which waits."""
    one, two = pair(make, "0s")
    make.memory.set_waiting(WaitingBounds(**{"patience": 7200.0} | bounds))
    await serve(one, factory)
    use = await Use(one).begin()
    asking = asyncio.create_task(asked(two))
    client, needing = await loads(factory)
    await turns()
    return one, two, use, asking, client, needing


async def test_a_request_that_goes_away_leaves_the_queue_and_nothing_is_loaded_for_it(make, factory):
    one, two, use, asking, client, _ = await waiting(make, factory)
    asking.cancel()
    await reach(two, ModelState.STOPPED)
    await asyncio.wait_for(client.stopped.wait(), PATIENCE)
    assert make.memory.exchange.turns == ()
    await use.end()
    await turns()
    assert one.state is ModelState.READY
    assert len(factory.made) == 2


async def going_away(make, factory):
    """A request for a model goes away before its worker has asked for memory, which another has."""
    one, two = pair(make, "0s")
    first = await serve(one, factory)
    asking = asyncio.create_task(asked(two))
    client = await factory.next()
    asking.cancel()
    await turns()
    return one, two, first, client


async def test_a_worker_that_nobody_waits_for_any_more_pushes_nobody_out(make, factory):
    one, two, first, client = await going_away(make, factory)
    await asyncio.wait_for(client.need(60), PATIENCE)
    await asyncio.wait_for(client.stopped.wait(), PATIENCE)
    await reach(two, ModelState.STOPPED)
    assert (await asked(one)).client is first
    assert len(factory.made) == 2


async def test_but_it_goes_on_where_there_is_room(make, factory):
    one, two, _, client = await going_away(make, factory)
    one.unload()
    await reach(one, ModelState.STOPPED)
    await asyncio.wait_for(client.need(60), PATIENCE)
    client.become_ready()
    await reach(two, ModelState.READY)


async def test_and_if_somebody_comes_in_that_moment_it_is_served(make, factory):
    """By that load, or by another: it is not refused because of the one that went away."""
    _, two, first, client = await going_away(make, factory)
    needing = asyncio.create_task(client.need(60))
    await asyncio.sleep(0)
    again = asyncio.create_task(asked(two))
    await asyncio.wait_for(needing, PATIENCE)
    if client.stopping.is_set():
        client = await factory.next()
        await asyncio.wait_for(client.need(60), PATIENCE)
    client.become_ready()
    assert (await asyncio.wait_for(again, PATIENCE)).client is client
    assert first.stopped.is_set()


async def test_while_another_request_waits_the_turn_is_kept(make, factory):
    _, two, use, asking, client, needing = await waiting(make, factory)
    other = asyncio.create_task(asked(two))
    await turns()
    asking.cancel()
    await turns()
    await use.end()
    await asyncio.wait_for(needing, PATIENCE)
    client.become_ready()
    assert (await asyncio.wait_for(other, PATIENCE)).client is client


async def test_an_operator_s_order_outlasts_the_request(make, factory):
    _, two, use, asking, _, needing = await waiting(make, factory)
    two.want()
    asking.cancel()
    await turns()
    await use.end()
    await asyncio.wait_for(needing, PATIENCE)


async def test_patience_has_an_end_and_the_answer_says_when_to_come_again(make, factory):
    _, two, use, asking, client, _ = await waiting(make, factory, patience=0.05)
    with pytest.raises(InsufficientMemoryError, match=r"within 50ms \(memory.patience\)") as caught:
        await asyncio.wait_for(asking, PATIENCE)
    assert 3600 < caught.value.retry_after < 3700  # the turn that is left, the request that runs, and a load
    await asyncio.wait_for(client.stopped.wait(), PATIENCE)
    await reach(two, ModelState.STOPPED)
    await use.end()


async def test_what_is_certain_to_take_longer_is_refused_at_once(make, factory):
    one, two = pair(make, "1h")
    make.memory.set_waiting(WaitingBounds(patience=3000.0))
    await serve(one, factory)
    asking = asyncio.create_task(asked(two))
    await loads(factory)
    with pytest.raises(InsufficientMemoryError) as caught:
        await asyncio.wait_for(asking, PATIENCE)
    assert 3590 < caught.value.retry_after <= 3605.0


async def test_so_many_may_wait_and_no_more(make, factory):
    _, two, use, asking, _, _ = await waiting(make, factory, most=1)
    with pytest.raises(InsufficientMemoryError, match="as many requests wait") as caught:
        await asked(two)
    assert caught.value.retry_after > 3600
    asking.cancel()
    await use.end()


@pytest.mark.parametrize(
    ("order", "error"),
    [("unload", ModelLoadingError), ("drain", ModelDrainedError), ("finish", ShuttingDownError)],
)
async def test_who_waits_hears_of_orders(make, factory, order, error):
    _, two, _, asking, _, _ = await waiting(make, factory)
    getattr(two, order)()
    with pytest.raises(error):
        await asyncio.wait_for(asking, PATIENCE)


async def test_who_waits_before_a_closed_model_hears_that_the_daemon_stops(make, factory):
    one, two = pair(make, "0s", "1ms")
    await serve(one, factory)
    use = await Use(one).begin()
    await asyncio.sleep(0.002)
    asking = asyncio.create_task(asked(two))
    await loads(factory)
    await turns()
    held = asyncio.create_task(asked(one))
    await turns()
    assert not held.done()
    one.finish()
    two.finish()
    for task in (held, asking):
        with pytest.raises(ShuttingDownError):
            await asyncio.wait_for(task, PATIENCE)
    await use.end()


async def test_a_changed_table_keeps_the_place_in_the_queue(make, factory):
    """What loads is given up for another source; the request waits on, as long as it has."""
    _, two, use, asking, client, _ = await waiting(make, factory)
    waited = make.memory.exchange.turns[0].waited
    two.apply(make.table("org/other", lifecycle={"load": "lazy"}))
    await asyncio.wait_for(client.stopped.wait(), PATIENCE)
    again, needing = await loads(factory)
    await turns()
    [turn] = make.memory.exchange.turns
    assert (turn.model, turn.requests, turn.size) == ("two", 1, 60)
    assert turn.waited > waited
    await use.end()
    await asyncio.wait_for(needing, PATIENCE)
    again.become_ready()
    assert (await asyncio.wait_for(asking, PATIENCE)).client is again


async def test_a_model_that_is_replaced_keeps_its_place_before_those_that_wait(make, factory):
    """Old and new do not fit side by side: what the old one leaves is the new one's, though another waits for it."""
    one, _, use, asking, _, needing = await waiting(make, factory)
    one.apply(make.table("org/other", lifecycle={"load": "lazy", "residence": "0s", "turn": "1h"}))
    new, taking = await loads(factory, 70)
    await turns()
    assert (taking.done(), needing.done()) == (False, False)
    await use.end()
    await asyncio.wait_for(taking, PATIENCE)
    assert make.memory.ledger.by_model() == {"one": 70}
    new.become_ready()
    new.answer(await new.request())
    await asyncio.wait_for(needing, PATIENCE)  # and then it is the other's turn
    asking.cancel()


async def test_caches_of_the_pool_do_not_shrink_for_a_model_that_waits_for_another_to_go(make, factory):
    gib = 2**30
    make.available = 100 * gib
    one, two = pair(make, "0s", limit=10 * gib)
    asking = asyncio.create_task(asked(one))
    first = await factory.next()
    granted = await first.watcher.on_need(NeedsMemory(weights=6 * gib, cache=20 * gib, transients=0))
    first.become_ready()
    await asyncio.wait_for(asking, PATIENCE)
    use = await Use(one).begin()
    asking = asyncio.create_task(asked(two))
    second = await factory.next()
    needing = asyncio.create_task(second.watcher.on_need(NeedsMemory(weights=6 * gib, cache=20 * gib, transients=0)))
    await turns()
    assert granted == make.memory.pool.by_model()["one"] == 4 * gib
    assert first.reconfigured == []
    await use.end()
    assert await asyncio.wait_for(needing, PATIENCE) == 4 * gib
    asking.cancel()
