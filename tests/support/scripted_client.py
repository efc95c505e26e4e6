"""A ``WorkerClient`` in memory: the test says when it is ready, fails, ends; nothing happens by itself."""

import asyncio

from mlxd.adapter_terms import AdapterFigures, AdapterState
from mlxd.client.stream_table import StreamTable
from mlxd.client.worker_client import WorkerExit
from mlxd.errors import MlxdError
from mlxd.types import FinishReason, MemoryFigures, ResolvedLimits, Timings, Usage
from mlxd.wire.events import Finished
from mlxd.wire.messages import CacheEvicted, Heartbeat, NeedsMemory, Ready, Tokenized
from tests.support.patience import PATIENCE
from tests.support.wire_requests import prompt_text, resolved

READY = Ready(
    runner="simple", runner_reason="", device="cpu", dtype="float32", context_length=2048, vocab_size=1000,
    weight_bytes=1, limits=ResolvedLimits(cache_bytes=0), load_seconds=0.25, versions={},
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
        self.may_reconfigure = asyncio.Event()
        self.may_reconfigure.set()
        self.reconfigured = []
        self.asked_to_reconfigure = asyncio.Event()
        self.watched = None
        self.asked_of_adapters = []
        self.asked_to_change_adapters = asyncio.Event()
        self.broken_adapters = {}
        self.may_load_adapters = asyncio.Event()
        self.may_load_adapters.set()
        self.streams = StreamTable(lambda _: None)
        self._submitted = asyncio.Queue()
        self._needing = None
        self._loaded = asyncio.get_running_loop().create_future()
        self._exit = asyncio.get_running_loop().create_future()

    # ---- the test's side ----

    def become_ready(self, ready=READY):
        self.limits = resolved(self.load.limits)
        self._loaded.set_result(ready)

    async def need(self, size):
        """Ask for so many bytes of memory; a refusal fails the load, and who is stopped asks no more."""
        self._needing = asyncio.create_task(self.watcher.on_need(NeedsMemory(weights=size, cache=0, transients=0)))
        await asyncio.wait({self._needing})
        if not self._needing.cancelled() and isinstance(error := self._needing.exception(), MlxdError):
            self.refuse(error)

    async def request(self):
        """The next one that somebody submitted, to be answered by ``answer``."""
        async with asyncio.timeout(PATIENCE):
            return await self._submitted.get()

    def answer(self, request):
        usage = Usage(prompt_tokens=2, completion_tokens=1)
        timings = Timings(queue=0.0, prefill=0.0, decode=0.0)
        self.streams.push(Finished(id=request.id, parts=[], tokens=0, reason=FinishReason.STOP, usage=usage, timings=timings))

    def refuse(self, error):
        self._loaded.set_exception(error)
        self.end("load_failed", str(error))

    def end(self, reason, detail="killed by SIGKILL"):
        self.lost.set()
        if not self._exit.done():
            self._exit.set_result(WorkerExit(reason, detail))

    # ---- WorkerClient ----

    async def reconfigure(self, limits):
        self.reconfigured.append(limits)
        self.asked_to_reconfigure.set()
        await self.may_reconfigure.wait()
        self.limits = resolved(limits)
        return self.limits

    async def start(self, load, watcher):
        self.load, self.watcher = load, watcher
        self.started.set()
        return await self._loaded

    async def evict_cache(self):
        return CacheEvicted(entries=3, bytes=300)

    async def load_adapter(self, name):
        return await self._changed("load", name, AdapterState.LOADED)

    async def unload_adapter(self, name):
        return await self._changed("unload", name, AdapterState.UNLOADED)

    async def _changed(self, verb, name, state):
        """It can be done, unless the test has put an error there, as soon as the test allows it."""
        self.asked_of_adapters.append((verb, name))
        self.asked_to_change_adapters.set()
        await self.may_load_adapters.wait()
        if name in self.broken_adapters:
            raise self.broken_adapters[name]
        return AdapterFigures(name=name, state=state)

    async def tokenize(self, prompt, *, with_pieces=False):
        """A token is a Unicode character of the last message, or of the text."""
        text = prompt_text(prompt)
        return Tokenized(id="0", tokens=list(map(ord, text)), pieces=list(text) if with_pieces else [])

    async def detokenize(self, token_ids):
        return "".join(map(chr, token_ids))

    def watch(self, *, hang_timeout, load_timeout):
        self.watched = (hang_timeout, load_timeout)

    def submit(self, request):
        stream = self.streams.open(request.id)
        self._submitted.put_nowait(request)
        return stream

    async def wait_idle(self):
        await self.streams.wait_idle()

    async def wait_lost(self):
        await self.lost.wait()

    async def wait_exit(self):
        return await asyncio.shield(self._exit)

    async def stop(self):
        self.end("stopped", "exited with code 0")
        if self._needing is not None:
            self._needing.cancel()
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
        async with asyncio.timeout(PATIENCE):
            client = await self._new.get()
            await client.started.wait()
        return client


class CountingTelemetry:
    """Remembers what a supervisor tells."""

    def __init__(self):
        self.loaded, self.restarted, self.steps, self.evicted = [], [], [], []

    def request_finished(self, record): ...

    def request_rejected(self, model, reason): ...

    def step(self, model, stats):
        self.steps.append((model, stats))

    def cache_evicted(self, model, entries):
        self.evicted.append((model, entries))

    def model_loaded(self, model, seconds):
        self.loaded.append((model, seconds))

    def worker_restarted(self, model, reason):
        self.restarted.append((model, reason))


async def reach(supervisor, state):
    """Wait until ``supervisor`` is in ``state``."""
    async with asyncio.timeout(PATIENCE):
        while supervisor.state is not state:
            await supervisor.wait_changed()
