"""Requests that wait for their model's turn: what becomes of those that do not get it, and of what changes meanwhile."""

import asyncio

import pytest

from mlxd.control.memory.waiting_bounds import WaitingBounds
from mlxd.errors import InsufficientMemoryError, ModelDrainedError, ModelLoadingError, ShuttingDownError
from mlxd.types import ModelState
from mlxd.wire.messages import NeedsMemory
from tests.support.patience import PATIENCE
from tests.support.scripted_client import reach
from tests.unit.control.model.supervisor.rig import asked
from tests.unit.control.model.supervisor.rivals import Use, loads, overdue, pair, serve, turns, waiting


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
    one, two, use = await overdue(make, factory)
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
