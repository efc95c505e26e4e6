"""Adapters that come, go and change while their model's worker runs: nothing restarts, and what cannot be had is said."""

import asyncio

import msgspec
import pytest

from mlxd.adapter_terms import AdapterFigures, AdapterState
from mlxd.errors import AdapterFailedError, AdapterSourceError, WorkerLostError
from mlxd.types import MemoryFigures, ModelState
from mlxd.wire.messages import Heartbeat, NeedsMemory
from tests.support.patience import PATIENCE
from tests.support.scripted_client import reach
from tests.unit.control.model.supervisor.rig import ready, settled

MIB, GIB = 2**20, 2**30
SQL, LAW = {"source": "org/sql", "load": "eager"}, {"source": "org/law"}
BROKEN = AdapterSourceError("/srv/sql/adapters.safetensors: rank 4 where 8 is configured")


def table(make, **settings):
    return make.table(batching={"mode": "continuous"}, **settings)


async def told(client, number):
    """The limits that the worker was told at the ``number``th time."""
    async with asyncio.timeout(PATIENCE):
        while len(client.reconfigured) < number:
            client.asked_to_reconfigure.clear()
            await client.asked_to_reconfigure.wait()
    return client.reconfigured[number - 1]


async def test_they_come_change_and_go_by_the_same_worker(make, factory):
    supervisor = make(batching={"mode": "continuous"}, adapters={"sql": SQL})
    client = await ready(supervisor, factory)
    assert [(one.name, one.source, one.load) for one in client.load.limits.adapters] == [("sql", "org/sql", "eager")]
    assert await settled(supervisor) is None
    for number, adapters in enumerate([{"sql": SQL, "law": LAW}, {"sql": SQL | {"source": "org/sql@v2"}, "law": LAW}, {"law": LAW}, {}], 1):
        supervisor.apply(table(make, adapters=adapters))
        limits = await told(client, number)
        assert [(one.name, one.source) for one in limits.adapters] == [(name, one["source"]) for name, one in adapters.items()]
        assert limits.adapter_bytes == (256 * MIB if adapters else 0)
        assert await settled(supervisor) is None
    assert client.asked_of_adapters == [("load", "sql"), ("load", "sql")], "once as it was, once as it became"
    assert factory.made == [client]


async def test_to_pin_one_is_no_reason_to_look_at_its_files_again(make, factory):
    supervisor = make(batching={"mode": "continuous"}, adapters={"sql": SQL})
    client = await ready(supervisor, factory)
    supervisor.apply(table(make, adapters={"sql": SQL | {"pin": True}}))
    assert (await told(client, 1)).adapters[0].pin
    assert await settled(supervisor) is None
    assert client.asked_of_adapters == [("load", "sql")]


async def test_lazy_ones_are_not_asked_for(make, factory):
    supervisor = make(batching={"mode": "continuous"}, adapters={"law": LAW})
    client = await ready(supervisor, factory)
    assert await settled(supervisor) is None
    assert client.asked_of_adapters == []


async def test_a_reload_waits_until_an_eager_one_is_there_and_hears_why_it_is_not(make, factory):
    supervisor = make(batching={"mode": "continuous"})
    client = await ready(supervisor, factory)
    client.may_load_adapters.clear()
    client.broken_adapters["sql"] = BROKEN
    supervisor.apply(table(make, adapters={"sql": SQL, "law": LAW}))
    await told(client, 1)
    waiting = asyncio.create_task(supervisor.wait_settled())
    await asyncio.wait_for(client.asked_to_change_adapters.wait(), PATIENCE)
    assert not waiting.done()
    client.may_load_adapters.set()
    assert await asyncio.wait_for(waiting, PATIENCE) == f"adapters.sql: {BROKEN.message}"
    assert supervisor.trouble == supervisor.status().differs == f"adapters.sql: {BROKEN.message}"
    assert supervisor.state is ModelState.READY, "the model itself is well"
    supervisor.apply(table(make, adapters={"law": LAW}))
    assert await settled(supervisor) is None


async def test_one_that_an_operator_had_loaded_since_is_no_trouble_any_more(make, factory):
    supervisor = make(batching={"mode": "continuous"}, adapters={"sql": SQL})
    supervisor.want()
    client = await factory.next()
    client.broken_adapters["sql"] = BROKEN
    client.become_ready()
    assert await settled(supervisor) == f"adapters.sql: {BROKEN.message}"
    figures = AdapterFigures(name="sql", state=AdapterState.LOADED, layers=12)
    beat = Heartbeat(running=0, waiting=0, steps=0, busy_seconds=0, memory=MemoryFigures(), adapters=(figures,))
    client.heartbeat = beat
    assert supervisor.trouble is None
    assert supervisor.status().adapters == (figures,)
    gone = msgspec.structs.replace(figures, state=AdapterState.UNLOADED)
    client.heartbeat = msgspec.structs.replace(beat, adapters=(gone,))
    assert supervisor.trouble is None, "that it went for others is no trouble"


@pytest.mark.parametrize(
    ("full", "roomy", "reason"),
    [
        ({"adapters": {"sql": SQL}, "adapter_memory": "1MiB"}, {"adapters": {"sql": SQL}, "adapter_memory": "2MiB"}, "it takes 2 MiB"),
        (
            {"adapters": {"sql": SQL, "law": {"source": "org/law", "pin": True}}},
            {"adapters": {"sql": SQL, "law": {"source": "org/law"}}},
            "beside what is pinned: adapter law",
        ),
    ],
    ids=["beside nothing", "beside pinned ones"],
)
async def test_one_that_had_no_room_is_asked_for_again_once_there_may_be_some(make, factory, full, roomy, reason):
    supervisor = make(batching={"mode": "continuous"}, **full)
    supervisor.want()
    client = await factory.next()
    client.broken_adapters["sql"] = AdapterFailedError(reason)
    client.become_ready()
    assert await settled(supervisor) == f"adapters.sql: {reason}"
    del client.broken_adapters["sql"]
    supervisor.apply(table(make, **roomy))
    await told(client, 1)
    assert await settled(supervisor) is None
    assert client.asked_of_adapters == [("load", "sql")] * 2


async def test_the_next_worker_is_asked_for_what_the_lost_one_was(make, factory):
    supervisor = make(batching={"mode": "continuous"}, adapters={"sql": SQL}, worker={"restart_backoff": "1ms"})
    supervisor.want()
    client = await factory.next()
    client.broken_adapters["sql"] = WorkerLostError("killed")
    client.become_ready()
    await reach(supervisor, ModelState.READY)
    client.end("crash")
    second = await factory.next()
    second.become_ready()
    assert await settled(supervisor) is None
    assert second.asked_of_adapters == [("load", "sql")]


# ---- memory ----


async def load(supervisor, factory, **needs):
    supervisor.want()
    client = await factory.next()
    limits = client.load.limits
    needs = NeedsMemory(transients=0, adapters=limits.adapter_bytes, **needs)
    granted = await asyncio.wait_for(client.watcher.on_need(needs), PATIENCE)
    if granted is not None:
        client.load = msgspec.structs.replace(client.load, limits=msgspec.structs.replace(limits, cache_bytes=granted))
    client.become_ready()
    await reach(supervisor, ModelState.READY)
    return client


async def test_what_they_may_take_is_reserved_beside_a_cache_of_a_size_and_given_back(make, factory):
    make.limit = GIB
    fixed = {"memory": "512MiB"}
    supervisor = make(batching={"mode": "continuous"}, cache=fixed)
    await load(supervisor, factory, weights=100 * MIB, cache=512 * MIB)
    assert make.memory.ledger.total == 612 * MIB
    for size, adapters in ((100, {"law": LAW}), (200, {"law": LAW}), (50, {"law": LAW}), (50, {})):
        supervisor.apply(table(make, cache=fixed, adapters=adapters, adapter_memory=f"{size}MiB"))
        assert await settled(supervisor) is None
        assert make.memory.ledger.total == (612 + (size if adapters else 0)) * MIB


async def test_where_there_is_no_room_the_names_are_known_and_the_reload_says_so(make, factory):
    make.limit = 700 * MIB
    fixed = {"memory": "512MiB"}
    supervisor = make(batching={"mode": "continuous"}, cache=fixed)
    client = await load(supervisor, factory, weights=100 * MIB, cache=512 * MIB)
    supervisor.apply(table(make, cache=fixed, adapters={"law": LAW}))
    assert (await settled(supervisor)).startswith("adapter_memory: memory.limit is 700 MiB")
    assert [(one.adapters[0].name, one.adapter_bytes) for one in client.reconfigured] == [("law", 0)]
    assert make.memory.ledger.total == 612 * MIB
    make.memory.set_limit(GIB)
    async with asyncio.timeout(PATIENCE):
        while supervisor.trouble is not None or not supervisor.is_settled:
            await supervisor.wait_changed()
    assert make.memory.ledger.total == (612 + 256) * MIB


@pytest.mark.parametrize("limit", [20 * GIB, GIB])
async def test_a_cache_of_the_pool_makes_room_for_them(make, factory, limit):
    make.limit, make.available = limit, 20 * GIB
    supervisor = make(batching={"mode": "continuous"})
    await load(supervisor, factory, weights=100 * MIB, cache=4 * GIB)
    cache = min(4 * GIB, limit - 100 * MIB)
    assert make.memory.ledger.total == cache + 100 * MIB
    supervisor.apply(table(make, adapters={"law": LAW}))
    assert await settled(supervisor) is None
    async with asyncio.timeout(PATIENCE):
        while make.memory.ledger.total != min(limit, cache + 356 * MIB):  # noqa: ASYNC110 - the ledger tells nobody
            await asyncio.sleep(0)
    assert supervisor.status().limits.cache_bytes == min(cache, limit - 356 * MIB)
