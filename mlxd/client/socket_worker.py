"""The life of a worker behind a socket, wherever its code runs: start, watch, loss, stop."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Protocol

import structlog

from mlxd.adapter_terms import AdapterFigures
from mlxd.client.connection import Connection, Sinks, failed_stream
from mlxd.client.hang_watch import HangWatch
from mlxd.client.worker_client import LoadWatcher, RequestStream, WorkerExit, WorkerLog
from mlxd.errors import MlxdError, ModelLoadingError, ShuttingDownError, VersionMismatchError, WorkerLostError
from mlxd.types import Limits, ResolvedLimits
from mlxd.wire.framing import FramingError
from mlxd.wire.jobs import Job
from mlxd.wire.messages import CacheEvicted, Heartbeat, Load, LogRecord, NeedsMemory, Proceed, Ready, Stop, Tokenized
from mlxd.wire.prompts import Prompt

# Seconds allowed for ...
STOP_GRACE = 5.0  # ending after a Stop frame, or after it closed the socket; a step of a big model takes its time
TERM_GRACE = 2.0  # ending after SIGTERM
KILL_GRACE = 10.0  # ending after SIGKILL; only a process stuck in the kernel needs more
LAST_FRAMES = 2.0  # reading what it sent before it ended
TICK = 0.5  # between two looks for a hang

_log = structlog.get_logger()


class WorkerHost(Protocol):
    """The place where a worker's code runs: a process, or a thread in tests."""

    async def launch(self) -> socket.socket:
        """Starts the worker's code and returns the daemon's end of its socket. Raises ``OSError``."""

    async def wait(self) -> str:
        """Waits until it has ended, and returns how, for people. It is called once, after ``launch``."""

    def terminate(self) -> None:
        """Asks the system to end it."""

    def kill(self) -> None:
        """Makes the system end it."""

    @property
    def pid(self) -> int | None:
        """Returns the id of its process while it runs, else None."""


class SocketWorker:
    """A ``WorkerClient`` over a host. One task, ``_live``, sees the worker from launch to end."""

    def __init__(self, model: str, host: WorkerHost, *, hang_timeout: float, load_timeout: float, log: WorkerLog) -> None:
        self._model = model
        self._host = host
        self._log = log
        self._watch = HangWatch(hang_timeout=hang_timeout, load_timeout=load_timeout)
        self._launching: asyncio.Task[Connection] | None = None
        self._connection: Connection | None = None
        self._life: asyncio.Task[None] | None = None
        self._permitting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()  # nothing can be asked of it any more; its process may still be there
        self._load_seconds = 0.0
        self._exit: WorkerExit | None = None
        self._ended = asyncio.Event()

    async def start(self, load: Load, watcher: LoadWatcher) -> Ready:
        if self._launching is not None or self._stopping is not None:
            raise RuntimeError("a worker client is started once; make a new one")
        sinks = Sinks(
            every=self._watch.observe,
            progress=watcher.on_progress,
            needs=lambda needs: self._permit(watcher, needs),
            step=watcher.on_step,
            log=self._forward,
        )
        self._launching = asyncio.create_task(self._launch(load, sinks))
        try:
            connection = await asyncio.shield(self._launching)  # a process half started cannot be stopped: see it through
            ready = await connection.loaded
        except BaseException:
            await self.stop()
            raise
        self._load_seconds = ready.load_seconds
        return ready

    def submit(self, request: Job) -> RequestStream:
        if self._stopping is not None:
            return failed_stream(request.id, self._shutting_down())
        if self._connection is None or self._lost.is_set():
            return failed_stream(request.id, self._lost_error())
        return self._connection.submit(request)

    async def reconfigure(self, limits: Limits) -> ResolvedLimits:
        connection = self._connected()
        if connection.limits is None:
            raise ModelLoadingError(f'the model "{self._model}" is loading', retry_after=1.0)
        return await connection.reconfigure(limits)

    async def evict_cache(self) -> CacheEvicted:
        return await self._connected().evict_cache()

    async def tokenize(self, prompt: Prompt, *, with_pieces: bool = False) -> Tokenized:
        return await self._connected().tokenize(prompt, with_pieces=with_pieces)

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        return await self._connected().detokenize(token_ids)

    async def load_adapter(self, name: str) -> AdapterFigures:
        return await self._connected().load_adapter(name)

    async def unload_adapter(self, name: str) -> AdapterFigures:
        return await self._connected().unload_adapter(name)

    def watch(self, *, hang_timeout: float, load_timeout: float) -> None:
        self._watch.hang_timeout, self._watch.load_timeout = hang_timeout, load_timeout

    async def wait_idle(self) -> None:
        if self._connection is not None:
            await self._connection.streams.wait_idle()

    async def wait_lost(self) -> None:
        await self._lost.wait()

    async def wait_exit(self) -> WorkerExit:
        while self._exit is None:
            await self._ended.wait()
        return self._exit

    async def stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)  # a caller that gives up leaves no half-stopped worker

    @property
    def pid(self) -> int | None:
        return self._host.pid

    @property
    def heartbeat(self) -> Heartbeat | None:
        return self._connection.heartbeat if self._connection else None

    @property
    def limits(self) -> ResolvedLimits | None:
        return self._connection.limits if self._connection else None

    @property
    def running(self) -> int:
        return self._connection.streams.running if self._connection else 0

    @property
    def waiting(self) -> int:
        return self._connection.streams.waiting if self._connection else 0

    def _connected(self) -> Connection:
        if self._connection is None or self._lost.is_set() or self._stopping is not None:
            raise self._lost_error()
        return self._connection

    # ---- start and stop ----

    async def _launch(self, load: Load, sinks: Sinks) -> Connection:
        try:
            sock = await self._host.launch()
        except OSError as error:
            detail = f"its process cannot be started: {error}"
            self._end(WorkerExit("crash", detail))
            raise WorkerLostError(f'the worker of model "{self._model}" failed: {detail}', retry_after=1.0) from error
        self._connection = await Connection.open(sock, load, sinks)
        self._life = asyncio.create_task(self._live(self._connection))
        return self._connection

    def _permit(self, watcher: LoadWatcher, needs: NeedsMemory) -> None:
        self._permitting = asyncio.create_task(self._ask_for_memory(watcher, needs))

    async def _ask_for_memory(self, watcher: LoadWatcher, needs: NeedsMemory) -> None:
        assert self._connection is not None  # noqa: S101 - it has asked
        try:
            granted = await watcher.on_need(needs)
        except MlxdError as error:
            if not self._connection.loaded.done():
                self._connection.loaded.set_exception(error)
        else:
            self._connection.send(Proceed(cache_bytes=granted))

    async def _stop(self) -> None:
        if self._permitting is not None:
            self._permitting.cancel()
        if self._launching is not None:
            await asyncio.wait({self._launching})
        if self._life is None or self._connection is None:
            self._end(WorkerExit("stopped", "it was never started"))
            return
        self._connection.streams.fail_all(self._shutting_down)
        self._connection.send(Stop())
        for grace, force in ((STOP_GRACE, self._host.terminate), (TERM_GRACE, self._host.kill)):
            if await _done_within(grace, self._life):
                return
            force()
        if not await _done_within(KILL_GRACE, self._life):
            self._life.cancel()
            self._end(WorkerExit("stopped", "it is still there after SIGKILL"))

    # ---- the life of it ----

    async def _live(self, connection: Connection) -> None:
        reading = asyncio.create_task(connection.read_frames())
        gone = asyncio.create_task(self._host.wait())
        watching = asyncio.create_task(self._watch_for_hang(connection))
        tasks = (reading, gone, watching)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            hung = watching.result() if watching.done() else None
            watching.cancel()  # what happens from here on is no hang
            if gone.done():
                await _done_within(LAST_FRAMES, reading)
            self._lost.set()
            connection.streams.fail_all(self._lost_error)
            by_itself = hung is None and _failure(reading) is None and await _done_within(STOP_GRACE, gone)
            if not by_itself:
                self._host.kill()
                await _done_within(KILL_GRACE, gone)
            how = gone.result() if by_itself else "it closed its socket and went on, so it was killed"
            self._end(self._cause(reading, hung, how))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            connection.close()
            self._end(WorkerExit("crash", "the daemon lost sight of it"))  # only where something above raised

    async def _watch_for_hang(self, connection: Connection) -> str:
        """Waits until the worker hangs, and returns what hangs. Time in which this loop did not run does not count."""
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            tick = min(TICK, self._watch.hang_timeout / 10, self._watch.load_timeout / 10)
            await asyncio.sleep(tick)
            now = loop.time()
            passed = min(now - before, 2 * tick)
            if self._permitting is not None and not self._permitting.done():
                self._watch.wait_for_permit()
            verdict = self._watch.tick(passed, unread=connection.unread, taken=connection.taken, questions=connection.questions)
            if verdict is not None:
                return verdict
            before = now

    def _cause(self, reading: asyncio.Task[None], hung: str | None, how: str) -> WorkerExit:
        broken = _failure(reading)
        refusal = broken if isinstance(broken, VersionMismatchError) else self._refusal()
        if refusal is not None:
            return WorkerExit("load_failed", str(refusal))
        if self._stopping is not None:
            return WorkerExit("stopped", how)
        if hung is not None:
            return WorkerExit("hang", hung)
        if isinstance(broken, FramingError):
            return WorkerExit("crash", f"it broke the protocol: {broken}")
        if broken is not None:
            _log.error("worker_frame_failed", model=self._model, exc_info=broken)  # a defect of the daemon
            return WorkerExit("crash", f"one of its frames could not be worked off: {broken!r}")
        return WorkerExit("crash", how)

    def _refusal(self) -> BaseException | None:
        """Returns what the worker said in ``LoadFailed``, or None."""
        loaded = self._connection.loaded if self._connection else None
        return loaded.exception() if loaded is not None and loaded.done() and not loaded.cancelled() else None

    def _end(self, how: WorkerExit) -> None:
        if self._exit is not None:
            return
        self._exit = how
        self._lost.set()
        self._ended.set()
        if self._connection is not None:
            self._connection.streams.fail_all(self._lost_error)
            if not self._connection.loaded.done():
                self._connection.loaded.set_exception(self._start_error(how))

    # ---- what others are told ----

    def _forward(self, record: LogRecord) -> None:
        self._log(self._model, self._host.pid, record)

    def _start_error(self, how: WorkerExit) -> MlxdError:
        if how.reason == "load_failed":
            return VersionMismatchError(how.detail)
        if how.reason == "stopped":
            return self._shutting_down()
        return WorkerLostError(f'the worker of model "{self._model}" failed while loading: {how.detail}', retry_after=1.0)

    def _lost_error(self) -> MlxdError:
        message = f'the worker of model "{self._model}" was lost, and this request with it; it is being restarted: try again'
        return WorkerLostError(message, retry_after=1.0 + self._load_seconds)

    def _shutting_down(self) -> MlxdError:
        return ShuttingDownError(f'model "{self._model}" is being stopped; try again later', retry_after=5.0)


async def _done_within(seconds: float, task: asyncio.Task[Any]) -> bool:
    done, _ = await asyncio.wait({task}, timeout=seconds)
    return bool(done)


def _failure(task: asyncio.Task[None]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None
