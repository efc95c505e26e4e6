"""A ``WorkerClient`` in memory: the test says when it is ready, fails, ends; nothing happens by itself."""

import asyncio

from mlxd.client.stream_table import StreamTable
from mlxd.client.worker_client import WorkerExit
from mlxd.types import Limits, MemoryFigures
from mlxd.wire.messages import Heartbeat, Ready

READY = Ready(
    runner="simple", runner_reason="", device="cpu", dtype="float32", context_length=2048, vocab_size=1000,
    weight_bytes=1, limits=Limits(), load_seconds=0.25, versions={},
)  # fmt: skip


class ScriptedClient:
    def __init__(self, pid=4242):
        self.pid = pid
        self.limits = None
        self.heartbeat = Heartbeat(running=0, waiting=0, steps=0, busy_seconds=0, memory=MemoryFigures())
        self.load = None
        self.started = asyncio.Event()
        self.lost = asyncio.Event()
        self.stopping = asyncio.Event()
        self.stopped = asyncio.Event()
        self.may_stop = asyncio.Event()
        self.may_stop.set()
        self.streams = StreamTable(lambda _: None)
        self._loaded = asyncio.get_running_loop().create_future()
        self._exit = asyncio.get_running_loop().create_future()

    # ---- the test's side ----

    def become_ready(self):
        self.limits = READY.limits
        self._loaded.set_result(READY)

    def refuse(self, error):
        self._loaded.set_exception(error)
        self.end("load_failed", str(error))

    def end(self, reason, detail="killed by SIGKILL"):
        self.lost.set()
        if not self._exit.done():
            self._exit.set_result(WorkerExit(reason, detail))

    # ---- WorkerClient ----

    async def reconfigure(self, limits):
        self.limits = limits
        return limits

    async def start(self, load, on_progress, on_step):
        self.load, self.on_progress, self.on_step = load, on_progress, on_step
        self.started.set()
        return await self._loaded

    def submit(self, request):
        return self.streams.open(request.id)

    async def wait_idle(self):
        await self.streams.wait_idle()

    async def wait_lost(self):
        await self.lost.wait()

    async def wait_exit(self):
        return await asyncio.shield(self._exit)

    async def stop(self):
        self.end("stopped", "exited with code 0")
        self.stopping.set()
        await self.may_stop.wait()
        self.stopped.set()

    @property
    def running(self):
        return self.streams.running

    @property
    def waiting(self):
        return self.streams.waiting


class Factory:
    """A ``WorkerFactory`` of scripted clients, in the order they were asked for."""

    def __init__(self):
        self.made = []
        self._new = asyncio.Queue()

    def __call__(self, name, config):
        client = ScriptedClient(pid=1000 + len(self.made))
        self.made.append(client)
        self._new.put_nowait(client)
        return client

    async def next(self):
        """The next client, once the supervisor has started it."""
        async with asyncio.timeout(30):
            client = await self._new.get()
            await client.started.wait()
        return client


class CountingTelemetry:
    """Remembers what a supervisor tells."""

    def __init__(self):
        self.loaded, self.restarted, self.steps = [], [], []

    def request_finished(self, record): ...

    def request_rejected(self, model, reason): ...

    def step(self, model, stats):
        self.steps.append((model, stats))

    def model_loaded(self, model, seconds):
        self.loaded.append((model, seconds))

    def worker_restarted(self, model, reason):
        self.restarted.append((model, reason))


async def reach(supervisor, state):
    """Wait until ``supervisor`` is in ``state``."""
    async with asyncio.timeout(30):
        while supervisor.state is not state:
            await supervisor.wait_changed()
