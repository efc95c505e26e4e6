"""Reloads of limits in any order, with workers that take their time: what they have in the end is what was wanted last, and the ledger
has what they have.
"""

import asyncio

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlxd.config.schema import ModelTable
from mlxd.control.memory.ledger import Ledger
from mlxd.control.memory.model_memory import ModelMemory
from mlxd.control.model.supervisor import ModelSupervisor
from mlxd.types import ModelState
from mlxd.wire.messages import NeedsMemory
from tests.support.examples import examples
from tests.support.scripted_client import CountingTelemetry, Factory, ScriptedClient, reach

MIB = 2**20
WEIGHTS = 100 * MIB
NAMES = ("one", "two")

caches = st.sampled_from(["auto", "64MiB", "200MiB", "700MiB"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), st.sampled_from(NAMES), st.integers(1, 5), caches, st.sampled_from([0, 0, 50, 400])),
        st.tuples(st.just("answer"), st.sampled_from(NAMES)),
        st.tuples(st.just("limit"), st.sampled_from([800 * MIB, 1000 * MIB, 2000 * MIB])),
        st.tuples(st.just("turns"), st.integers(1, 5)),
    ),
    max_size=25,
)


class SlowClient(ScriptedClient):
    """Takes new limits when the test lets it, one call at a time, as a worker that has one of them in hand."""

    def __init__(self, pid):
        super().__init__(pid)
        self.permits = asyncio.Semaphore(0)
        self.is_asked = False
        self.overlaps = 0  # changes that came while another was in hand

    async def reconfigure(self, limits):
        self.overlaps += self.is_asked
        self.is_asked = True
        await self.permits.acquire()
        self.is_asked = False
        self.limits = limits
        return limits


class SlowFactory(Factory):
    def __call__(self, name, config):
        client = SlowClient(1000 + len(self.made))
        self.made.append(client)
        self._new.put_nowait(client)
        return client


class World:
    def __init__(self):
        self.factory = SlowFactory()
        self.models, self.clients, self.tables = {}, {}, {}
        self.memory = ModelMemory(Ledger(2000 * MIB), lambda: list(self.models.values()), available=lambda: 5000 * MIB)
        self.highest = 2000 * MIB

    async def start(self):
        for name in NAMES:
            self.tables[name] = self.table(1, "64MiB")
            model = self.models[name] = ModelSupervisor(
                name,
                self.tables[name],
                worker_factory=self.factory,
                telemetry=CountingTelemetry(),
                memory=self.memory,
                drain_timeout=lambda: 0.0,
            )
            model.want()
            client = self.clients[name] = await self.factory.next()
            await client.watcher.on_need(NeedsMemory(weights=WEIGHTS, cache=64 * MIB, transients=0))
            client.become_ready()
            await reach(model, ModelState.READY)

    def table(self, max_queue, cache, adapters=0):
        """``adapters``: so many MiB of memory for one; 0: there is none."""
        of_adapters = {"adapters": {"a": {"source": "org/a"}}, "adapter_memory": f"{adapters}MiB"} if adapters else {}
        batching = {"mode": "continuous", "max_queue": max_queue}
        return ModelTable.model_validate({"source": "org/x", "batching": batching, "cache": {"memory": cache}} | of_adapters)

    async def take(self, step):
        match step:
            case ("apply", name, max_queue, cache, adapters):
                self.tables[name] = self.table(max_queue, cache, adapters)
                self.models[name].apply(self.tables[name])
            case ("answer", name):
                self.clients[name].permits.release()
            case ("limit", limit):
                self.memory.set_limit(limit)
            case ("turns", count):
                await self.turns(count)

    async def turns(self, count):
        for _ in range(count):
            await asyncio.sleep(0)

    async def end(self):
        """Every worker answers whatever it is asked."""
        for client in self.clients.values():
            client.permits = asyncio.Semaphore(10_000)
        for name in NAMES:
            await asyncio.wait_for(self.models[name].wait_settled(), 30)
        await self.turns(50)

    def check(self):
        for name in NAMES:
            assert self.clients[name].overlaps == 0
            client, table, status = self.clients[name], self.tables[name], self.models[name].status()
            if status.differs is None:
                assert client.limits.max_queue == table.batching.max_queue
                assert client.limits.adapter_bytes == (table.adapter_memory if table.adapters else 0)
                if not table.cache.memory.is_auto:
                    assert client.limits.cache_bytes == table.cache.memory.size
            assert len(client.limits.adapters) == len(table.adapters), "names are known whatever memory there is"
            held = WEIGHTS + client.limits.cache_bytes + client.limits.adapter_bytes
            assert self.memory.ledger.by_model()[name] == held, name

    async def stop(self):
        for model in self.models.values():
            await model.stop()


@example(  # a refusal took over all but the cache
    [
        ("answer", "two"),
        ("limit", 800 * MIB),
        ("apply", "two", 5, "700MiB", 0),
        ("turns", 5),
        ("apply", "two", 1, "64MiB", 0),
        ("limit", 1000 * MIB),
    ]
)
@example([("apply", "one", 2, "700MiB", 0), ("limit", 800 * MIB), ("turns", 4), ("limit", 2000 * MIB)])  # wanted again while it is refused
@settings(max_examples=examples(60), deadline=None)
@given(steps)
def test_whatever_comes_the_last_wish_holds_and_the_ledger_is_right(steps):
    async def live():
        world = World()
        await world.start()
        try:
            for step in steps:
                await world.take(step)
            for client in world.clients.values():  # what is in hand is answered, and all that follows
                client.permits.release()
            await world.end()
            world.check()
        finally:
            await world.stop()

    asyncio.run(live())
