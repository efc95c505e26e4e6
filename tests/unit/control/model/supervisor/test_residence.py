"""Models that do not fit side by side, and requests that alternate between them."""

import asyncio

import pytest

from mlxd.errors import InsufficientMemoryError
from mlxd.types import ModelState
from tests.support.patience import PATIENCE
from tests.support.scripted_client import reach
from tests.unit.control.model.supervisor.rig import asked
from tests.unit.control.model.supervisor.rivals import Use, loads, overdue, pair, serve, turns


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
    one, two, use = await overdue(make, factory)
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
