"""A worker: socket in, engine thread, socket out.

::

    I/O thread (asyncio)                                    engine thread (owns every mx.* call)
    frames in ─▶ Sessions ─▶ tokenize (thread pool) ─▶ RequestQueue ─▶ Engine ─▶ Runner
    frames out ◀─ Sessions: text, stop strings ◀──── StepOutput, once per step ◀──┘
    heartbeat, whatever the engine does
"""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import msgspec
import psutil

from mlxd import __version__
from mlxd.errors import MlxdError, ModelSourceError
from mlxd.types import Limits, MemoryFigures
from mlxd.wire.framing import worker_codec
from mlxd.wire.messages import (
    Abort,
    CacheEvicted,
    ErrorInfo,
    EvictCache,
    FromWorker,
    Generate,
    Heartbeat,
    Hello,
    Load,
    LoadFailed,
    LogRecord,
    NeedsMemory,
    Proceed,
    Progress,
    Reconfigure,
    Reconfigured,
    Stop,
)
from mlxd.worker.cache_limit import CacheLimit
from mlxd.worker.engine.engine import Engine
from mlxd.worker.engine.events import StepOutput
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.logs import forward_logs
from mlxd.worker.request_encoder import RequestEncoder
from mlxd.worker.sessions import Sessions

EX_LOAD_FAILED = 1
EX_ENGINE_DIED = 70


def run_worker(sock: socket.socket) -> int:
    """Serve one daemon until it hangs up or says ``Stop``; the exit code. May run in a thread, for tests."""
    return asyncio.run(_serve(sock))


async def _serve(sock: socket.socket) -> int:
    reader, writer = await asyncio.open_connection(sock=sock)
    worker = _Worker(writer)
    worker.send(Hello(pid=os.getpid(), version=__version__))
    codec = worker_codec()
    reading = asyncio.create_task(worker.read(codec.read, reader))
    try:
        waiting: set[asyncio.Future[Any]] = {reading, worker.ended}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            reading.result()
            return 0
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        return worker.ended.result()
    finally:
        reading.cancel()
        worker.close()
        writer.close()


class _Worker:
    """One model in one process."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._writer = writer
        self._codec = worker_codec()
        self._cache_limit = CacheLimit()
        self._may_load = threading.Event()
        self._sessions: Sessions | None = None
        self._queue: RequestQueue | None = None
        self._engine: Engine | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._process = psutil.Process()
        self._restore_logs: Callable[[], None] = lambda: None

    async def read(self, read: Callable[[asyncio.StreamReader], Any], reader: asyncio.StreamReader) -> None:
        """Work off frames until end of file or ``Stop``."""
        while (message := await read(reader)) is not None:
            match message:
                case Load():
                    self._start(message)
                case Generate() if self._sessions is not None:
                    self._sessions.open(message)
                case Abort(id=request_id) if self._sessions is not None:
                    self._sessions.abort(request_id)
                case Proceed():
                    self._may_load.set()
                case Reconfigure(limits=limits):
                    self._reconfigure(limits)
                case EvictCache():
                    self._evict_cache()
                case Stop():
                    return

    def send(self, message: FromWorker) -> None:
        """On the I/O thread. A daemon that is gone is noticed by reading."""
        if not self._writer.is_closing():
            self._writer.write(self._codec.encode(message))

    def send_from_any_thread(self, message: FromWorker) -> None:
        """As ``send``, from anywhere; after the loop is closed it does nothing."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.send, message)

    def close(self) -> None:
        """Let the engine thread end at its next step."""
        for task in self._tasks:
            task.cancel()
        if self._queue is not None:
            self._queue.close()
        if self._sessions is not None:
            self._sessions.close()
        self._restore_logs()

    def _start(self, load: Load) -> None:
        load = msgspec.structs.replace(load, limits=self._cache_limit.resolve(load.limits))
        self._queue = RequestQueue(load.limits.max_queue)
        self._restore_logs = forward_logs(self.send_from_any_thread)
        self._spawn(self._beat(load.heartbeat_interval))
        threading.Thread(target=self._engine_thread, args=(load, self._queue), name="engine", daemon=True).start()

    def _reconfigure(self, limits: Limits) -> None:
        if self._sessions is None or self._queue is None or self._engine is None:
            return  # the daemon waits for ``Ready``
        limits = self._cache_limit.resolve(limits)
        self._queue.max_queue = limits.max_queue
        self._sessions.reconfigure(limits)
        self._queue.call(partial(self._apply, limits, self._engine, self._queue))

    def _evict_cache(self) -> None:
        if self._queue is not None and self._engine is not None:
            self._queue.call(partial(self._evict, self._engine))

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _beat(self, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            self.send(self._heartbeat())

    def _heartbeat(self) -> Heartbeat:
        rss = self._process.memory_info().rss
        if self._engine is None or self._queue is None:
            return Heartbeat(running=0, waiting=0, steps=0, busy_seconds=0.0, memory=MemoryFigures(rss=rss))
        return Heartbeat(
            running=self._queue.running,
            waiting=self._queue.waiting,
            steps=self._engine.steps,
            busy_seconds=self._engine.busy_seconds,
            memory=msgspec.structs.replace(self._engine.memory, rss=rss),
            cache=self._engine.cache,
        )

    # ---- on the engine thread ----

    def _engine_thread(self, load: Load, queue: RequestQueue) -> None:
        try:
            code = 0 if self._load_and_run(load, queue) else EX_LOAD_FAILED
        except Exception as error:  # noqa: BLE001 - the thread's last resort: the process ends and says why
            self.send_from_any_thread(LogRecord(level="error", event="engine_died", fields={"error": repr(error)}))
            code = EX_ENGINE_DIED
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end, code)

    def _load_and_run(self, load: Load, queue: RequestQueue) -> bool:
        try:
            from mlxd.worker.runtime.start import start_model  # imports MLX: on this thread, and after OpenBLAS

            model = start_model(load, self._tell_progress, self._wait_for_memory)
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the operator must read it
            known = (
                error
                if isinstance(error, MlxdError)
                else ModelSourceError(f"loading {load.source} failed: {type(error).__name__}: {error}")
            )
            self.send_from_any_thread(LoadFailed(error=ErrorInfo.of(known)))
            return False
        queue.capacity = model.runner.capacity
        engine = Engine(model.runner, queue, self._emit)
        sessions = Sessions(load, RequestEncoder(model.encoder, model.block_size), model.decode, queue, self.send)
        self._loop.call_soon_threadsafe(self._ready, engine, sessions, model.ready)
        engine.run()
        return True

    def _tell_progress(self, stage: Literal["fetching", "converting", "loading", "warming"], done: int, total: int) -> None:
        self.send_from_any_thread(Progress(stage=stage, done=done, total=total))

    def _wait_for_memory(self, needs: NeedsMemory) -> None:
        """For as long as it takes: a daemon that has none ends this process."""
        self.send_from_any_thread(needs)
        self._may_load.wait()

    def _evict(self, engine: Engine) -> None:
        """Between two steps."""
        before = engine.cache.bytes_cached
        entries = engine.evict_cached()
        self.send_from_any_thread(CacheEvicted(entries=entries, bytes=before - engine.cache.bytes_cached))

    def _apply(self, limits: Limits, engine: Engine, queue: RequestQueue) -> None:
        """Between two steps."""
        engine.reconfigure(limits)
        queue.capacity = engine.capacity
        self.send_from_any_thread(Reconfigured(limits=limits))

    def _emit(self, output: StepOutput) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._deliver, output)

    # ---- back on the I/O thread ----

    def _ready(self, engine: Engine, sessions: Sessions, ready: FromWorker) -> None:
        self._engine = engine
        self._sessions = sessions
        self.send(ready)
        self.send(self._heartbeat())

    def _deliver(self, output: StepOutput) -> None:
        if self._sessions is not None:
            self._sessions.deliver(output)

    def _end(self, code: int) -> None:
        if not self.ended.done():
            self.ended.set_result(code)
