"""The one seam between the daemon and an engine: what a worker can do, wherever it runs.

``process.ProcessWorker`` is the real one; ``local.LocalWorker`` runs a worker's code in a thread for tests.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from mlxd.adapter_terms import AdapterFigures
from mlxd.errors import MlxdError, SlowClientError, from_code
from mlxd.types import Limits, ResolvedLimits
from mlxd.wire.events import Failed, Finished, RequestEvent, Started
from mlxd.wire.jobs import Job
from mlxd.wire.messages import CacheEvicted, Heartbeat, Load, LogRecord, NeedsMemory, Progress, Ready, StepStats, Tokenized
from mlxd.wire.prompts import Prompt

STREAM_EVENTS = 4096  # undelivered events of one request before its client counts as stalled

WorkerLog = Callable[[str, int | None, LogRecord], None]  # model, pid of the worker, its record


@dataclass(frozen=True)
class WorkerExit:
    """The way a worker ended. ``reason`` is a metric label; ``detail`` is for people."""

    reason: str  # "stopped" | "crash" | "hang" | "load_failed"
    detail: str


class RequestStream:
    """The events of one request, in order, for one consumer.

    Use it as a context manager: leaving it before the end aborts the request in the worker, which frees
    its blocks at the next step. Iteration ends after ``Finished``, and after ``cancel`` once what had
    arrived is delivered; it raises the typed error of ``Failed``, ``WorkerLostError`` when the worker goes,
    and ``SlowClientError`` when the consumer fell too far behind.
    """

    def __init__(self, request_id: str, abort: Callable[[str], None]) -> None:
        self.id = request_id
        self.started = False
        self.done = False  # the worker will say nothing more of it
        self.on_overflow: Callable[[], None] = lambda: None
        self._on_arrival: Callable[[], None] = lambda: None
        self._abort = abort
        self._events: deque[RequestEvent | MlxdError] = deque()
        self._arrived = asyncio.Event()

    def push(self, event: RequestEvent) -> None:
        """Takes in an event. The connection calls this on the event loop, so it never blocks: a stalled consumer is cut off instead."""
        if self.done:
            return
        if isinstance(event, Failed):
            info = event.error
            self.fail(from_code(info.code, info.message, param=info.param, retry_after=info.retry_after))
            return
        self.started = self.started or isinstance(event, Started)
        self.done = isinstance(event, Finished)
        if not self.done and len(self._events) >= STREAM_EVENTS:
            self._cut_off()
            return
        self._deliver(event)

    def fail(self, error: MlxdError) -> None:
        """Ends the stream with ``error``; it has no effect after the end."""
        if not self.done:
            self.done = True
            self._deliver(error)

    def listen(self, on_arrival: Callable[[], None]) -> None:
        """Calls ``on_arrival`` once for each event, or error, that can be taken without waiting: now, and whenever another one comes."""
        self._on_arrival = on_arrival
        for _ in self._events:
            on_arrival()

    def cancel(self) -> None:
        """Tells the worker to stop; it has no effect after the end."""
        if not self.done:
            self.done = True
            self._arrived.set()
            self._abort(self.id)

    def _cut_off(self) -> None:
        self.cancel()
        self._deliver(SlowClientError("the client stopped reading; its request was cancelled"))
        self.on_overflow()

    def _deliver(self, event: RequestEvent | MlxdError) -> None:
        self._events.append(event)
        self._arrived.set()
        self._on_arrival()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RequestEvent:
        while not self._events:
            if self.done:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        event = self._events.popleft()
        if isinstance(event, MlxdError):
            raise event
        return event


class LoadWatcher(Protocol):
    """Somebody who hears of a worker while it loads and runs. The methods are called on the event loop."""

    def on_progress(self, progress: Progress) -> None:
        """Hears that loading goes on."""

    async def on_need(self, needs: NeedsMemory) -> int | None:
        """Hears that the worker is about to take memory; the worker waits until this returns the limit of its cache in bytes, or None where
        that is what it asks for. What this raises ends the worker.
        """

    def on_step(self, stats: StepStats) -> None:
        """Hears of one step of the worker's engine."""


class WorkerClient(Protocol):
    """One worker of one model: started once, used, stopped once. A restart is a new client."""

    async def start(self, load: Load, watcher: LoadWatcher) -> Ready:
        """Spawns the worker and loads the model. Raises what ``watcher.on_need`` raises, ``ModelSourceError`` or another typed error when
        loading fails, and ``WorkerLostError`` when the process ends or stalls instead; then nothing of the worker is left. Cancelling it
        stops the worker.
        """

    def submit(self, request: Job) -> RequestStream:
        """Sends a request. After the worker is gone the stream raises ``WorkerLostError`` at once; a request that cannot be sent (an id in
        use, text that is no Unicode) raises ``InvalidRequestError`` there.
        """

    async def reconfigure(self, limits: Limits) -> ResolvedLimits:
        """Gives the ready worker other limits, and returns those it has then. Raises ``ModelLoadingError`` before it is ready, and
        ``WorkerLostError`` when it goes before it answers; one that never answers is hung.
        """

    async def evict_cache(self) -> CacheEvicted:
        """Drops what the worker's cache keeps for later requests. Raises as ``reconfigure``."""

    async def tokenize(self, prompt: Prompt, *, with_pieces: bool = False) -> Tokenized:
        """Returns the tokens of a prompt, and, on demand, the text of each. Raises ``InvalidRequestError`` for a prompt that cannot be
        rendered, and otherwise as ``reconfigure``.
        """

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        """Returns the text of tokens, with the spelling of control tokens. Raises ``InvalidRequestError`` for ids that are no tokens, and
        otherwise as ``reconfigure``.
        """

    async def load_adapter(self, name: str) -> AdapterFigures:
        """Loads an adapter, which may have to be fetched, and returns its figures. Raises ``ModelSourceError`` and others for what is wrong
        with it, and otherwise as ``reconfigure``.
        """

    async def unload_adapter(self, name: str) -> AdapterFigures:
        """Gives back an adapter's memory, once no request has it any more. Raises as ``load_adapter``."""

    def watch(self, *, hang_timeout: float, load_timeout: float) -> None:
        """Sets other times, in seconds, after which the worker counts as hung."""

    async def wait_idle(self) -> None:
        """Waits until no request is running or waiting."""

    async def wait_lost(self) -> None:
        """Waits until nothing can be asked of it any more; its process may take a moment longer to end."""

    async def wait_exit(self) -> WorkerExit:
        """Waits until the worker has ended, for whatever reason."""

    async def stop(self) -> None:
        """Ends the worker (politely, then by force); running requests get ``ShuttingDownError``. It may be called again."""

    @property
    def pid(self) -> int | None:
        """Returns the id of the worker's process while it runs, else None."""

    @property
    def heartbeat(self) -> Heartbeat | None:
        """Returns the last heartbeat; None before the first."""

    @property
    def limits(self) -> ResolvedLimits | None:
        """Returns the limits that the worker has, as it said last; None before it is ready."""

    @property
    def running(self) -> int:
        """Returns how many requests have started and not ended."""

    @property
    def waiting(self) -> int:
        """Returns how many requests are submitted and not started."""
