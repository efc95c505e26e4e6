"""Six thousand random operations on models that share one memory: after each, the books say what the living workers have reserved."""

import asyncio
from random import Random

import pytest

from mlxd.config.schema import ModelTable
from mlxd.control.memory.ledger import STEP, Ledger, model_of
from mlxd.control.memory.model_memory import ModelMemory
from mlxd.control.memory.pressure import PressureLevel
from mlxd.control.memory.relief import MemoryRelief, ReliefSettings
from mlxd.control.model.supervisor import ModelSupervisor
from mlxd.errors import MlxdError
from mlxd.wire.messages import CacheEvicted, NeedsMemory
from tests.support.patience import PATIENCE
from tests.support.scripted_client import CountingTelemetry, Factory, ScriptedClient

OPERATIONS = 1_500  # of each of four walks
LIMIT = 100 * STEP
NAMES = ("one", "two", "three", "four")


class Process(ScriptedClient):
    """A worker that lives from its start to its stop, and holds memory once it was let."""

    def __init__(self, name, pid):
        super().__init__(pid)
        self.name = name
        self.has_asked = self.is_alive = False
        self.asking = None

    async def start(self, load, watcher):
        self.is_alive = True
        try:
            return await super().start(load, watcher)
        finally:  # who gives the load up asks for nothing any more
            if self.asking is not None:
                self.asking.cancel()
                await asyncio.gather(self.asking, return_exceptions=True)

    async def reconfigure(self, limits):
        await asyncio.sleep(0)
        self.limits = limits
        return await super().reconfigure(limits)

    async def ask_for(self, needs):
        """Asks for memory, as a worker does once: a refusal fails the load."""
        try:
            await self.watcher.on_need(needs)
        except MlxdError as error:
            if not self._loaded.done():
                self.refuse(error)

    async def stop(self):
        await super().stop()
        self.is_alive = False


class Processes(Factory):
    def __call__(self, name, config):
        self.made.append(Process(name, 1000 + len(self.made)))
        return self.made[-1]


class CheckedLedger(Ledger):
    """Gives out no more than there is, whatever is lowered, and whoever holds more than was said."""

    def reserve(self, holder, amount):
        before = self.total + self.excess
        done = super().reserve(holder, amount)
        assert self.total + self.excess <= max(self.limit, before)
        return done


class Relief(CountingTelemetry):
    def measure_taken(self, measure): ...

    def measures_hold(self, count): ...


class World:
    """Models, their processes and a machine, all of which do something at random."""

    def __init__(self, seed):
        self.chance = Random(seed)  # noqa: S311 - no secret
        self.processes = Processes()
        self.level = PressureLevel.NORMAL
        self.now = 0.0
        self.memory = ModelMemory(CheckedLedger(LIMIT), lambda: list(self.models.values()), available=lambda: 5 * LIMIT)
        self.models = {name: self.model(name) for name in NAMES}
        self.relief = MemoryRelief(
            self.memory, evict=self.evict, read=lambda: self.level, settings=lambda: ReliefSettings(True, 100), telemetry=Relief()
        )
        self.waiting = set()
        self.asked = self.served = self.refused = 0

    def model(self, name):
        return ModelSupervisor(
            name, self.table(), worker_factory=self.processes, telemetry=Relief(), memory=self.memory, drain_timeout=lambda: 0.0
        )

    def table(self):
        chance = self.chance
        return ModelTable.model_validate(
            {
                "source": chance.choice(["org/a", "org/b"]),
                "lifecycle": {
                    "load": chance.choice(["lazy", "eager"]),
                    "pin": chance.random() < 0.2,
                    "residence": "0s",
                    "turn": chance.choice(["1ms", "1m", "never"]),
                },
                "cache": {"memory": chance.choice(["auto", "auto", "64MiB", "640MiB", "3GiB"])},
                "batching": {"max_queue": chance.randint(20, 24)},
                "worker": {"restart_backoff": "1ms", "restart_backoff_max": "2ms", "crash_limit": 1000},
            }
        )

    async def evict(self, name):
        return CacheEvicted(entries=1, bytes=1)

    # ---- what happens ----

    @property
    def living(self):
        return [process for process in self.processes.made if process.is_alive]

    def operate(self):
        act = self.chance.choices(
            [self.want, self.ask, self.unload, self.restart, self.reload, self.lose, self.load_on, self.grow, self.limit, self.machine],
            [3, 4, 2, 1, 3, 2, 12, 2, 1, 2],
        )[0]
        act(self.models[self.chance.choice(NAMES)])

    def want(self, model):
        model.want()

    def ask(self, model):
        self.asked += 1
        task = asyncio.create_task(self.request(model))
        self.waiting.add(task)
        task.add_done_callback(self.waiting.discard)

    async def request(self, model):
        try:
            async with model.hold():
                for _ in range(self.chance.randint(0, 20)):
                    await asyncio.sleep(0)
                self.served += 1
        except MlxdError:
            self.refused += 1

    def unload(self, model):
        model.unload() if self.chance.random() < 0.7 else model.drain()

    def restart(self, model):
        model.restart()

    def reload(self, model):
        model.apply(self.table())

    def lose(self, model):
        serving = [process for process in self.living if process.name == model.name and process.limits is not None]
        if serving:
            self.chance.choice(serving).end("crash")

    def load_on(self, model):
        """Every process that loads goes one further."""
        for process in self.living:
            if process.load is None or process.lost.is_set():
                continue
            if not process.has_asked:
                process.has_asked = True
                size = process.load.limits.cache_bytes
                cache = 20 * STEP if size is None else size
                needs = NeedsMemory(weights=self.chance.randint(1, 30) * STEP, cache=cache, transients=STEP, process=STEP)
                process.asking = asyncio.create_task(process.ask_for(needs))
            elif process.asking.done() and process.limits is None and not process._loaded.done():
                if self.chance.random() < 0.1:
                    process.refuse(MlxdError("its files are damaged"))
                else:
                    process.become_ready()
            self.answer_probes(process)

    def answer_probes(self, process):
        while not process._submitted.empty():
            process.answer(process._submitted.get_nowait())

    def grow(self, model):
        for process in self.living:
            held = self.chance.choice([0, STEP, 10 * STEP, 60 * STEP])
            process.heartbeat = type(process.heartbeat)(
                running=0, waiting=0, steps=0, busy_seconds=0, memory=type(process.heartbeat.memory)(footprint=held)
            )

    def limit(self, model):
        self.memory.set_limit(self.chance.choice([LIMIT, LIMIT // 2, LIMIT // 4]))

    def machine(self, model):
        self.level = self.chance.choice(list(PressureLevel))
        self.now += self.chance.choice([1.0, 10.0, 40.0])
        self.relief.look(self.now)

    # ---- what must be true ----

    def check(self):
        books = self.memory.ledger.reserved
        for name, model in self.models.items():
            living = {run.holder for run in model._workers.all}
            assert {holder for holder in books if model_of(holder) == name} <= living, "a worker that is gone has memory"
            for run in model._workers.all:
                if run.ready is not None and run.needs is not None and run.client.is_alive:
                    assert books[run.holder] >= run.needs.beside_cache, "a worker that serves has none"
        assert {model_of(holder) for holder in books} <= set(NAMES)
        assert self.memory.ledger.free == self.memory.ledger.limit - sum(books.values()) - self.memory.ledger.excess

    async def answer_all(self):
        """Whoever still asks is served or refused, once nothing new happens: nobody waits for ever."""
        self.memory.set_limit(LIMIT)
        self.level = PressureLevel.NORMAL
        async with asyncio.timeout(PATIENCE):
            while self.waiting:
                self.now += 10.0
                self.relief.look(self.now)
                self.load_on(None)
                await asyncio.sleep(0.001)
        assert self.served > OPERATIONS // 200
        assert self.served + self.refused == self.asked
        assert self.memory.exchange.turns == ()

    async def end(self):
        """All is unloaded; nothing is left in the books."""
        for model in self.models.values():
            await model.stop()
        assert dict(self.memory.ledger.reserved) == {}
        assert self.memory.pool.by_model() == {}
        assert self.living == []


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
async def test_the_books_are_those_of_the_living(seed):
    world = World(seed)
    for _ in range(OPERATIONS):
        world.operate()
        for _ in range(world.chance.randint(0, 6)):
            await asyncio.sleep(0)
        world.check()
    assert len(world.processes.made) > 100, "models were loaded"
    await world.answer_all()
    await world.end()
