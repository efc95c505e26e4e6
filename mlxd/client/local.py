"""A worker in a thread of this process: the same protocol and frames, for fast tests."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable

from mlxd.client.socket_worker import SocketWorker
from mlxd.client.worker_client import WorkerLog
from mlxd.wire.messages import LogRecord


def _no_log(model: str, pid: int | None, record: LogRecord) -> None:
    """Drops the record: whoever embeds a worker has logs of their own."""


class LocalWorker(SocketWorker):
    """A worker in a thread. ``run`` is the worker's code: it gets its end of the socket and returns when that ends.

    A thread cannot be killed: one that ignores the end of its socket is left behind.
    """

    def __init__(
        self,
        run: Callable[[socket.socket], None],
        *,
        model: str = "local",
        hang_timeout: float = 60.0,
        load_timeout: float = 60.0,
        log: WorkerLog = _no_log,
    ) -> None:
        super().__init__(model, ThreadHost(run), hang_timeout=hang_timeout, load_timeout=load_timeout, log=log)


class ThreadHost:
    """A thread that implements ``WorkerHost``."""

    def __init__(self, run: Callable[[socket.socket], None]) -> None:
        self._run = run
        self._ours: socket.socket | None = None
        self._outcome: asyncio.Future[str] | None = None

    async def launch(self) -> socket.socket:
        self._ours, theirs = socket.socketpair()
        self._outcome = asyncio.get_running_loop().create_future()
        threading.Thread(target=self._main, args=(theirs, self._outcome), name="local-worker", daemon=True).start()
        return self._ours

    async def wait(self) -> str:
        assert self._outcome is not None  # noqa: S101  launched
        return await self._outcome

    def terminate(self) -> None:
        """Ends the socket: end of file is all a thread can be given."""
        if self._ours is not None:
            with contextlib.suppress(OSError):
                self._ours.shutdown(socket.SHUT_RDWR)

    def kill(self) -> None:
        """Does what ``terminate`` does, for a thread cannot be forced."""
        self.terminate()

    @property
    def pid(self) -> int | None:
        """Returns the id of the process that holds the thread, which is ours."""
        return os.getpid() if self._outcome is not None and not self._outcome.done() else None

    def _main(self, sock: socket.socket, outcome: asyncio.Future[str]) -> None:
        try:
            with sock:
                self._run(sock)
        except BaseException as error:  # noqa: BLE001  as a process would end, whatever it was
            how = f"raised {error!r}"
        else:
            how = "returned"
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            outcome.get_loop().call_soon_threadsafe(_settle, outcome, how)


def _settle(outcome: asyncio.Future[str], how: str) -> None:
    if not outcome.done():
        outcome.set_result(how)
