"""Models that share a memory which does not hold them all."""

import asyncio

import pytest

from mlxd.errors import InsufficientMemoryError, ModelLoadingError
from mlxd.types import ModelState
from mlxd.wire.messages import NeedsMemory
from tests.support.patience import PATIENCE
from tests.support.scripted_client import reach
from tests.support.wire_requests import generate
from tests.unit.control.model.supervisor.rig import asked, probed, settled


async def test_memory_is_reserved_before_a_model_loads_and_given_back_after(make, factory):
    make.limit = 100
    supervisor = make()
    supervisor.want()
    client = await factory.next()
    await client.need(60)
    assert make.memory.ledger.by_model() == {"tiny": 60}
    client.become_ready()
    await reach(supervisor, ModelState.READY)
    supervisor.unload()
    await asyncio.wait_for(supervisor.wait_gone(), PATIENCE)
    assert make.memory.ledger.by_model() == {}


async def test_a_model_that_never_fits_says_what_it_needs_and_who_has_it(make, factory):
    make.limit = 2**30
    first, second = make("first"), make("second")
    first.want()
    client = await factory.next()
    await client.need(2**29)
    client.become_ready()
    await reach(first, ModelState.READY)
    second.want()
    await (await factory.next()).need(2**30)
    await reach(second, ModelState.FAILED)
    assert second.status().last_error == (
        'the model "second" needs 1.0 GiB (1.0 GiB of weights, 0 B of cache, 0 B to compute), '
        "but memory.limit is 1.0 GiB, of which first 512 MiB is reserved"
    )
    assert first.state is ModelState.READY  # what loads by itself pushes nobody out


async def test_it_is_tried_again_once_there_is_memory(make, factory):
    make.limit = 100
    first, second = make("first"), make("second")
    first.want()
    client = await factory.next()
    await client.need(60)
    client.become_ready()
    await reach(first, ModelState.READY)
    second.want()
    await (await factory.next()).need(60)
    await reach(second, ModelState.FAILED)
    make.memory.set_limit(110)  # not enough
    assert second.state is ModelState.FAILED
    first.unload()
    again = await factory.next()
    await again.need(60)
    again.become_ready()
    await reach(second, ModelState.READY)


async def test_a_request_pushes_out_who_was_used_longest_ago_but_nobody_busy_or_pinned(make, factory):
    make.limit = 400
    clients = {}
    for name in ("pinned", "busy", "old", "new"):
        supervisor = make(name, lifecycle={"pin": name == "pinned"})
        supervisor.want()
        clients[name] = await factory.next()
        await clients[name].need(100)
        clients[name].become_ready()
        await reach(supervisor, ModelState.READY)
        supervisor.require_ready()
    clients["busy"].submit(generate("a"))
    lazy = make("lazy", lifecycle={"load": "lazy"})
    asking = asyncio.create_task(asked(lazy))
    client = await factory.next()
    await client.need(100)
    assert make.memory.ledger.by_model() == {"pinned": 100, "busy": 100, "new": 100, "lazy": 100}
    client.become_ready()
    await asyncio.wait_for(asking, PATIENCE)
    assert clients["old"].stopped.is_set()


async def test_a_request_for_what_does_not_fit_is_told_so_and_the_next_one_starts_nothing_until_it_would_fit(make, factory):
    make.limit = 100
    lazy = make(lifecycle={"load": "lazy"})
    asking = asyncio.create_task(asked(lazy))
    await (await factory.next()).need(101)
    with pytest.raises(InsufficientMemoryError, match="needs 101 B") as caught:
        await asyncio.wait_for(asking, PATIENCE)
    assert caught.value.retry_after is None  # until somebody does something
    await reach(lazy, ModelState.STOPPED)
    for _ in range(3):
        with pytest.raises(InsufficientMemoryError, match="of which nothing is reserved"):
            await asked(lazy)
    assert len(factory.made) == 1
    make.memory.set_limit(101)
    asking = asyncio.create_task(asked(lazy))
    client = await factory.next()
    await client.need(101)
    client.become_ready()
    assert (await asyncio.wait_for(asking, PATIENCE)).client is client


async def test_a_smaller_cache_is_another_try(make, factory):
    """What it lacked memory for is not what it needs now."""
    make.limit = 1000
    supervisor = make(cache={"memory": "2000B"})
    supervisor.want()
    await (await factory.next()).need(1001)
    await reach(supervisor, ModelState.FAILED)
    supervisor.apply(make.table(cache={"memory": "100B"}))
    client = await factory.next()
    await client.need(900)
    client.become_ready()
    await reach(supervisor, ModelState.READY)


async def test_where_both_do_not_fit_the_old_one_drains_first(make, factory):
    make.limit = 100
    supervisor = make()
    supervisor.want()
    old = await factory.next()
    await old.need(60)
    old.become_ready()
    await reach(supervisor, ModelState.READY)
    running = old.submit(generate("a"))
    supervisor.apply(make.table("org/other"))
    new = await factory.next()
    needing = asyncio.create_task(new.need(70))
    await reach(supervisor, ModelState.LOADING)
    with pytest.raises(ModelLoadingError):
        supervisor.require_ready()
    assert not needing.done()
    running.cancel()
    await asyncio.wait_for(needing, PATIENCE)
    assert old.stopped.is_set()
    await probed(new)
    assert await settled(supervisor) is None
    assert make.memory.ledger.by_model() == {"tiny": 70}


async def test_what_gets_free_while_the_old_one_drains_is_taken_at_once(make, factory):
    make.limit = 100
    supervisors = make("beside"), make()
    clients = []
    for supervisor, size in zip(supervisors, (40, 60), strict=True):
        supervisor.want()
        clients.append(await factory.next())
        await clients[-1].need(size)
        clients[-1].become_ready()
        await reach(supervisor, ModelState.READY)
    clients[1].submit(generate("a"))
    supervisors[1].apply(make.table("org/other"))
    new = await factory.next()
    needing = asyncio.create_task(new.need(40))
    await reach(supervisors[1], ModelState.LOADING)
    supervisors[0].unload()
    await asyncio.wait_for(needing, PATIENCE)
    assert not clients[1].stopped.is_set()
    assert make.memory.ledger.by_model() == {"tiny": 100}


async def test_and_where_the_new_one_cannot_load_the_old_one_is_put_back(make, factory):
    make.limit = 100
    supervisor = make()
    supervisor.want()
    old = await factory.next()
    await old.need(60)
    old.become_ready()
    await reach(supervisor, ModelState.READY)
    supervisor.apply(make.table("org/other"))
    await (await factory.next()).need(101)
    back = await factory.next()
    assert back.load.source == "org/tiny"
    await back.need(60)
    back.become_ready()
    assert "needs 101 B" in await settled(supervisor)
    assert supervisor.require_ready().client is back


async def test_a_cache_that_grows_beyond_the_limit_is_refused(make, factory):
    make.limit = 1000
    supervisor = make(cache={"memory": "300B"})
    supervisor.want()
    client = await factory.next()
    await client.watcher.on_need(NeedsMemory(weights=500, cache=300, transients=0))
    client.become_ready()
    await reach(supervisor, ModelState.READY)
    supervisor.apply(make.table(cache={"memory": "600B"}))
    assert "memory.limit is 1.0 KiB" in await settled(supervisor)
    assert supervisor.status().limits.cache_bytes == 300
    assert make.memory.ledger.by_model() == {"tiny": 800}
    make.memory.set_limit(2000)
    assert await settled(supervisor) is None
    assert supervisor.status().limits.cache_bytes == 600
    assert make.memory.ledger.by_model() == {"tiny": 1100}


async def test_an_idle_model_is_unloaded_and_a_busy_one_is_not(make, factory):
    supervisor = make(lifecycle={"idle_unload": "20ms"})
    supervisor.want()
    client = await factory.next()
    running = client.submit(generate("a"))
    client.become_ready()
    await reach(supervisor, ModelState.READY)
    done, _ = await asyncio.wait({asyncio.create_task(client.stopped.wait())}, timeout=0.1)
    assert not done
    running.cancel()
    await reach(supervisor, ModelState.STOPPED)
    assert supervisor.status().desired is ModelState.STOPPED


async def test_memory_of_a_worker_that_drains_is_waited_for_by_whoever_loads(make, factory):
    """A model is renamed under a tight limit: the old one's request finishes, and nothing fails."""
    make.limit = 100
    old, new = make("old"), make("new")
    old.want()
    client = await factory.next()
    await client.need(60)
    client.become_ready()
    await reach(old, ModelState.READY)
    running = client.submit(generate("a"))
    old.unload()
    new.want()
    loading = await factory.next()
    needing = asyncio.create_task(loading.need(60))
    await reach(old, ModelState.DRAINING)
    await asyncio.sleep(0)
    assert not needing.done()
    assert new.state is ModelState.LOADING
    running.cancel()
    await asyncio.wait_for(needing, 30)
    loading.become_ready()
    assert await settled(new) is None
