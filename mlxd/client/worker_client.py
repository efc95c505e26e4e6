"""The one seam between the daemon and an engine: what a worker can do, wherever it runs.

``process.ProcessWorker`` is the real one; ``local.LocalWorker`` runs a worker's code in a thread for tests.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from mlxd.errors import MlxdError, SlowClientError, from_code
from mlxd.wire.messages import Failed, Finished, Generate, Heartbeat, Load, Progress, Ready, RequestEvent, Started, StepStats

STREAM_EVENTS = 4096  # undelivered events of one request before its client counts as stalled


@dataclass(frozen=True)
class WorkerExit:
    """How a worker ended. ``reason`` is a metric label; ``detail`` is for people."""

    reason: str  # "stopped" | "crash" | "hang" | "load_failed"
    detail: str


class RequestStream:
    """The events of one request, in order, for one consumer.

    Use it as a context manager: leaving it before the end aborts the request in the worker, which frees
    its blocks at the next step. Iteration ends after ``Finished``; it raises the typed error of ``Failed``,
    ``WorkerLostError`` when the worker goes, and ``SlowClientError`` when the consumer fell too far behind.
    """

    def __init__(self, request_id: str, abort: Callable[[str], None]) -> None:
        self.id = request_id
        self.started = False
        self.done = False  # the worker will say nothing more of it
        self.on_overflow: Callable[[], None] = lambda: None
        self._abort = abort
        self._events: asyncio.Queue[RequestEvent | MlxdError] = asyncio.Queue()

    def push(self, event: RequestEvent) -> None:
        """Called by the connection, on the event loop. Never blocks: a stalled consumer is cut off instead."""
        if self.done:
            return
        if isinstance(event, Started):
            self.started = True
        self.done = isinstance(event, Finished | Failed)
        if not self.done and self._events.qsize() >= STREAM_EVENTS:
            self.cancel()
            self._events.put_nowait(SlowClientError("the client stopped reading; its request was cancelled"))
            self.on_overflow()
            return
        self._events.put_nowait(event)

    def fail(self, error: MlxdError) -> None:
        """End the stream with ``error``; no effect after the end."""
        if not self.done:
            self.done = True
            self._events.put_nowait(error)

    def cancel(self) -> None:
        """Tell the worker to stop; no effect after the end."""
        if not self.done:
            self.done = True
            self._abort(self.id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cancel()

    async def __aiter__(self) -> AsyncIterator[RequestEvent]:
        while True:
            event = await self._events.get()
            if isinstance(event, MlxdError):
                raise event
            if isinstance(event, Failed):
                info = event.error
                raise from_code(info.code, info.message, param=info.param, retry_after=info.retry_after)
            yield event
            if isinstance(event, Finished):
                return


class WorkerClient(Protocol):
    """One worker of one model: started once, used, stopped once. A restart is a new client."""

    async def start(self, load: Load, on_progress: Callable[[Progress], None], on_step: Callable[[StepStats], None]) -> Ready:
        """Spawn and load. Raises ``ModelSourceError`` or another typed error when loading fails, and
        ``WorkerLostError`` when the process ends instead. Cancelling it stops the worker.
        """

    def submit(self, request: Generate) -> RequestStream:
        """Send a request. After the worker is gone the stream raises ``WorkerLostError`` at once."""

    async def wait_exit(self) -> WorkerExit:
        """Wait until the worker has ended, for whatever reason."""

    async def stop(self) -> None:
        """End the worker (politely, then by force); running requests get ``ShuttingDownError``. Idempotent."""

    @property
    def pid(self) -> int | None:
        """Of the worker's process, once it runs."""

    @property
    def heartbeat(self) -> Heartbeat | None:
        """The last one; None before the first."""

    @property
    def running(self) -> int:
        """Requests that have started and not ended."""

    @property
    def waiting(self) -> int:
        """Requests submitted and not started."""
