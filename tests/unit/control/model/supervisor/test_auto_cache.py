"""Models whose caches are of one pool: they shrink as others come, and grow as they go."""

import asyncio

import msgspec

from mlxd.types import ModelState
from mlxd.wire.messages import NeedsMemory
from tests.support.scripted_client import reach
from tests.unit.control.model.supervisor.rig import probed, settled

MIB, GIB = 2**20, 2**30


async def ask(client, *, weights=0, cache=4 * GIB):
    """What the worker may have for its cache; it is ready with that."""
    granted = await asyncio.wait_for(client.watcher.on_need(NeedsMemory(weights=weights, cache=cache, transients=0)), 30)
    if granted is not None:
        client.load = msgspec.structs.replace(client.load, limits=msgspec.structs.replace(client.load.limits, cache_bytes=granted))
    return granted


async def load(supervisor, factory, **needs):
    supervisor.want()
    client = await factory.next()
    granted = await ask(client, **needs)
    client.become_ready()
    await reach(supervisor, ModelState.READY)
    return client, granted


async def until(condition):
    """Turn by turn of the event loop: nothing here waits for anything else."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - of several models at once
            await asyncio.sleep(0)


def cache_of(supervisor):
    return supervisor.status().limits.cache_bytes


async def test_five_tiny_models_fit_and_share(make, factory):
    make.limit, make.available = 18 * GIB, 20 * GIB
    models = [make(f"m{number}") for number in range(5)]
    for model in models:
        await load(model, factory, weights=100 * MIB)
    share = 4 * GIB // 5
    for model in models:
        await until(lambda model=model: cache_of(model) == share)
        assert await settled(model) is None
    await until(lambda: make.memory.ledger.total == 5 * (share + 100 * MIB))
    models[0].unload()
    for model in models[1:]:
        await until(lambda model=model: cache_of(model) == GIB)
    await until(lambda: make.memory.ledger.total == 4 * (GIB + 100 * MIB))


async def test_under_a_tight_limit_the_first_shrinks_before_the_second_loads(make, factory):
    make.limit, make.available = GIB, 20 * GIB
    one, two = make("one"), make("two")
    first, granted = await load(one, factory, weights=200 * MIB)
    assert granted == GIB - 200 * MIB
    first.may_reconfigure.clear()
    two.want()
    second = await factory.next()
    asking = asyncio.create_task(ask(second, weights=200 * MIB))
    await asyncio.wait_for(first.asked_to_reconfigure.wait(), 30)
    assert not asking.done()
    assert make.memory.ledger.total <= GIB
    first.may_reconfigure.set()
    assert await asking == (GIB - 400 * MIB) // 2
    second.become_ready()
    await reach(two, ModelState.READY)
    assert cache_of(one) == (GIB - 400 * MIB) // 2
    assert make.memory.ledger.total == GIB


async def test_a_model_with_a_size_of_its_own_makes_them_shrink_too_and_they_grow_when_it_goes(make, factory):
    make.limit, make.available = GIB, 20 * GIB
    auto, sized = make("auto"), make("sized", cache={"memory": "300MiB"})
    await load(auto, factory, weights=100 * MIB)
    await load(sized, factory, weights=100 * MIB, cache=300 * MIB)
    left = GIB - 100 * MIB - 400 * MIB
    await until(lambda: cache_of(auto) == left)
    sized.unload()
    await until(lambda: cache_of(auto) == GIB - 100 * MIB)


async def test_a_worker_in_the_place_of_an_old_one_waits_for_caches_that_shrink_longer_than_that_takes_to_go(make, factory):
    make.limit, make.available = GIB, 20 * GIB
    auto, sized = make("auto"), make("sized", cache={"memory": "300MiB"})
    shrinking, _ = await load(auto, factory, weights=100 * MIB)
    old, _ = await load(sized, factory, weights=100 * MIB, cache=300 * MIB)
    await until(lambda: make.memory.ledger.total == GIB)
    shrinking.may_reconfigure.clear()
    shrinking.asked_to_reconfigure.clear()
    sized.apply(make.table("org/other", cache={"memory": "300MiB"}))
    new = await factory.next()
    asking = asyncio.create_task(ask(new, weights=300 * MIB, cache=300 * MIB))
    await asyncio.wait_for(shrinking.asked_to_reconfigure.wait(), 30)
    await asyncio.wait_for(old.stopped.wait(), 30)
    await until(lambda: not sized.status().leaving)
    assert not asking.done()
    shrinking.may_reconfigure.set()
    assert await asking is None
    await probed(new)
    assert await settled(sized) is None
    assert len(factory.made) == 3


async def test_a_lower_limit_is_followed(make, factory):
    make.limit, make.available = 2 * GIB, 20 * GIB
    auto = make("auto")
    await load(auto, factory)
    make.memory.set_limit(GIB)
    await until(lambda: cache_of(auto) == GIB)
    await until(lambda: make.memory.ledger.total == GIB)


async def test_a_size_in_the_place_of_auto_and_back(make, factory):
    make.limit, make.available = 8 * GIB, 20 * GIB
    one, two = make("one"), make("two")
    await load(one, factory)
    await load(two, factory)
    await until(lambda: cache_of(one) == cache_of(two) == 2 * GIB)
    one.apply(make.table(cache={"memory": "1GiB"}))
    assert await settled(one) is None
    assert cache_of(one) == GIB
    await until(lambda: cache_of(two) == 4 * GIB)
    one.apply(make.table())
    await until(lambda: cache_of(one) == cache_of(two) == 2 * GIB)


async def test_what_does_not_fit_with_the_least_cache_is_refused(make, factory):
    make.limit, make.available = GIB, 20 * GIB
    model = make()
    model.want()
    client = await factory.next()
    await client.need(GIB + 1)
    await reach(model, ModelState.FAILED)
    assert make.memory.pool.by_model() == {}
