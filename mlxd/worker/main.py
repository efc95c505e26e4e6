"""A worker: socket in, engine thread, socket out.

::

    I/O thread (asyncio)                                    engine thread (owns every mx.* call)
    frames in ─▶ Sessions ─▶ tokenize (thread pool) ─▶ RequestQueue ─▶ Engine ─▶ Runner
    frames out ◀─ Sessions: text, stop strings ◀──── StepOutput, once per step ◀──┘
    heartbeat, whatever the engine does

``Loading`` takes the daemon's messages until the model is ready, then ``Serving`` does.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import psutil

from mlxd import __version__
from mlxd.footprint import footprint
from mlxd.types import MemoryFigures
from mlxd.wire.framing import worker_codec
from mlxd.wire.messages import FromDaemon, Hello, Load, Stop
from mlxd.worker.loading import Loading
from mlxd.worker.logs import forward_logs
from mlxd.worker.outbox import Outbox
from mlxd.worker.stage import Stage

Read = Callable[[], Awaitable[FromDaemon | None]]


def run_worker(sock: socket.socket) -> int:
    """Serves one daemon until it hangs up or says ``Stop``, and returns the exit code. May run in a thread, for tests."""
    return asyncio.run(_serve(sock))


async def _serve(sock: socket.socket) -> int:
    reader, writer = await asyncio.open_connection(sock=sock)
    codec = worker_codec()
    outbox = Outbox(writer)
    outbox.send(Hello(pid=os.getpid(), version=__version__))
    try:
        return await _Worker(outbox, writer.drain).run(lambda: codec.read(reader))
    finally:
        writer.close()


class _Worker:
    """A worker, which is one model in one process, whatever its stage."""

    def __init__(self, outbox: Outbox, drain: Callable[[], Awaitable[None]]) -> None:
        self._outbox = outbox
        self._drain = drain
        self._process = psutil.Process()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._loading = Loading(outbox, self._become, self._end, self._tell_figures)
        self._stage: Stage = self._loading

    async def run(self, read: Read) -> int:
        """Returns the exit code once the daemon says so or is gone, or the engine's thread has ended."""
        restore_logs = forward_logs(self._outbox.send_from_any_thread)
        reading = self._spawn(self._read(read))
        try:
            waiting: set[asyncio.Future[Any]] = {reading, self._ended}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
                return 0
            with contextlib.suppress(ConnectionError):
                await self._drain()
            return self._ended.result()
        finally:
            for task in self._tasks:
                task.cancel()
            self._stage.close()
            await asyncio.to_thread(self._loading.wait_ended)
            restore_logs()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task

    async def _read(self, read: Read) -> None:
        """Works off frames until end of file or ``Stop``."""
        while (message := await read()) is not None:
            match message:
                case Stop():
                    return
                case Load():
                    if self._loading.begin(message):  # a worker loads once
                        self._spawn(self._beat(message.heartbeat_interval))
                case _:
                    self._stage.take(message)

    async def _beat(self, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            self._tell_figures()

    def _tell_figures(self) -> None:
        own = MemoryFigures(rss=self._process.memory_info().rss, footprint=footprint(self._process.pid))
        self._outbox.send(self._stage.heartbeat(own))

    def _become(self, stage: Stage) -> None:
        self._stage = stage
        self._tell_figures()  # who hears of readiness next has its figures

    def _end(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)
