"""Two models that do not fit side by side, and requests that alternate between them."""

import asyncio

import pytest

from mlxd.types import ModelState
from tests.support.patience import PATIENCE
from tests.support.scripted_client import reach


async def loads(factory, size=60):
    client = await factory.next()
    needing = asyncio.create_task(client.need(size))
    return client, needing


async def serve(supervisor, factory):
    """A request loads it."""
    asking = asyncio.create_task(supervisor.become_ready())
    client, needing = await loads(factory)
    await asyncio.wait_for(needing, PATIENCE)
    client.become_ready()
    await asyncio.wait_for(asking, PATIENCE)
    return client


def pair(make, residence):
    make.limit = 100
    lazy = {"load": "lazy", "residence": residence}
    return make("one", lifecycle=lazy), make("two", lifecycle=lazy)


async def test_who_has_just_been_loaded_stays_and_goes_on_serving_while_another_waits(make, factory):
    one, two = pair(make, "1h")
    client = await serve(one, factory)
    asking = asyncio.create_task(two.become_ready())
    _, needing = await loads(factory)
    for _ in range(5):
        assert (await one.become_ready()).client is client
        await asyncio.sleep(0)
    assert not needing.done()
    assert one.state is ModelState.READY
    asking.cancel()


async def test_then_it_gives_way(make, factory):
    one, two = pair(make, "50ms")
    first = await serve(one, factory)
    second = await serve(two, factory)
    assert first.stopped.is_set()
    assert (await two.become_ready()).client is second
    await reach(one, ModelState.STOPPED)


async def test_one_that_leaves_earlier_makes_room_at_once(make, factory):
    one, two = pair(make, "1h")
    await serve(one, factory)
    asking = asyncio.create_task(two.become_ready())
    client, needing = await loads(factory)
    one.unload()
    await asyncio.wait_for(needing, PATIENCE)
    client.become_ready()
    await asyncio.wait_for(asking, PATIENCE)


async def test_alternating_requests_change_places_no_more_often_than_the_residence_allows(make, factory):
    """Ten requests for each, all at once: each model is loaded once, and answers all of its own."""
    one, two = pair(make, "100ms")
    asking = [asyncio.create_task(model.become_ready()) for _ in range(10) for model in (one, two)]
    for _ in range(2):
        client = await factory.next()
        await asyncio.wait_for(client.need(60), PATIENCE)
        client.become_ready()
    await asyncio.wait_for(asyncio.gather(*asking), PATIENCE)
    assert len(factory.made) == 2


@pytest.mark.parametrize("lifecycle", [{"pin": True}, {}])
async def test_a_pinned_or_busy_one_is_not_waited_for(make, factory, lifecycle):
    make.limit = 100
    one = make("one", lifecycle={"load": "lazy", "residence": "1h"} | lifecycle)
    two = make("two", lifecycle={"load": "lazy"})
    client = await serve(one, factory)
    if not lifecycle:
        client.streams.open("r1")
    asking = asyncio.create_task(two.become_ready())
    await (await factory.next()).need(60)
    with pytest.raises(Exception, match="one 60 B is reserved"):
        await asyncio.wait_for(asking, PATIENCE)


async def test_one_that_is_busy_when_its_time_is_over_gives_way_when_it_is_idle(make, factory):
    one, two = pair(make, "50ms")
    client = await serve(one, factory)
    asking = asyncio.create_task(two.become_ready())
    other, needing = await loads(factory)
    for _ in range(5):
        await asyncio.sleep(0)  # it waits for the residence of the other to be over
    running = client.streams.open("r1")
    done, _ = await asyncio.wait({needing}, timeout=0.2)
    assert not done
    assert one.state is ModelState.READY
    running.cancel()
    await asyncio.wait_for(needing, 30)
    other.become_ready()
    await asyncio.wait_for(asking, 30)
    assert client.stopped.is_set()
