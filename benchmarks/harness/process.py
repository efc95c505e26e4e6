"""One server process: started, waited for, and ended by its process id, whatever ends the benchmark."""

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Self

import psutil

from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.signals import uninterrupted

_PATIENCE = 300.0  # seconds for a model to load
_GRACE = 5.0  # seconds to end after a signal, before the next harder one
_POLL = 0.1  # seconds


class ServerProcess:
    """``with ServerProcess(...) as process``. In a session of its own, so that Ctrl-C reaches the benchmark alone, which then ends it."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self._name = name
        self._command = command
        self._log = log

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        with uninterrupted():
            self._stop()

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Ask again and again whether it is ready. Raises ``BenchmarkError`` if it ends first, or never is."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise BenchmarkError(f"{self._name} ended with {self._process.returncode} before it was ready:\n{self._log_tail()}")
            if await condition():
                return
            await asyncio.sleep(_POLL)
        raise BenchmarkError(f"{self._name} was not ready after {_PATIENCE:.0f} s:\n{self._log_tail()}")

    def memory(self) -> int:
        """Returns the bytes that are its own, its children's included: what would be free if it ended (USS), however much it maps of files
        that others have as well.
        """
        total = 0
        for process in [psutil.Process(self._process.pid), *self._children()]:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # one that has just ended
                total += process.memory_full_info().uss
        return total

    def _stop(self) -> None:
        """Twice TERM (the second ends what still drains), then KILL with all its children."""
        children = self._children()
        for _ in range(2):
            if self._process.poll() is None:
                self._process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_GRACE)
        for process in [*children, *self._children()]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


def free_port() -> int:
    """For servers that cannot say which port they got. Another process may take it meanwhile; then the server does not start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
