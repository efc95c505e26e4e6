"""Where log lines go. A line that cannot be written is dropped and counted; it never raises, blocks, or ends anything.

::

    LogOutput (a logging.Handler)  ─▶  LogFile     appends, follows rotation
                                   ─▶  LogStream   standard error: a pipe, a terminal, a file
"""

import contextlib
import io
import logging
import os
import select
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from typing_extensions import override

_PATIENCE = 100  # milliseconds that one line waits for a pipe or terminal nobody reads from; until it is read again, none
_PIECE = 4096  # bytes: a pipe that poll() calls writable takes as many without blocking (PIPE_BUF)
_OPEN = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO without a reader is refused, not waited for


@dataclass
class DroppedLines:
    """The number of log lines that could not be written since the process began. ``total`` never falls."""

    total: int = 0


DROPPED = DroppedLines()


class LineTarget(Protocol):
    """Something that takes whole lines."""

    def write(self, line: str) -> None:
        """Appends ``line`` and a line break, at once. Raises ``OSError`` or ``ValueError`` where that cannot be done."""

    def close(self) -> None:
        """Gives back what the target holds. It never raises."""


class LogFile(LineTarget):
    """A file that others may rename, remove or rotate: the next line goes to a new one of its name.

    While no new one can be opened, lines still go to the renamed one; once that is removed as well, they are refused. A new file is for its
    owner's eyes only.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file. Raises ``OSError`` where that cannot be done."""
        self._path = path
        self._file = os.open(path, _OPEN, 0o600)
        self._is_closed = False  # from then on the number of our file may be that of a client's socket
        self._is_torn = False

    @override
    def write(self, line: str) -> None:
        if self._is_closed:
            raise ValueError("the log has moved elsewhere")
        self.reopen_if_moved()
        data = f"{line}\n".encode(errors="backslashreplace")
        if self._is_torn:  # a full disk took half a line
            data = b"\n" + data
        while data:
            data = data[os.write(self._file, data) :]
            self._is_torn = bool(data)

    def reopen_if_moved(self) -> None:
        """Opens the file of our name, where that is not the one we have. Raises ``OSError`` where there is none for our lines."""
        if self._is_closed or self._is_in_place():
            return
        try:
            new = os.open(self._path, _OPEN, 0o600)
        except OSError:
            if os.fstat(self._file).st_nlink == 0:
                raise
            return
        old, self._file, self._is_torn = self._file, new, False
        _close(old)

    @override
    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            _close(self._file)

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file))
        except OSError:
            return False


class LogStream(LineTarget):
    """A stream such as standard error, which is never closed. A pipe whose reader has stopped does not stop us."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._patience = _PATIENCE

    @override
    def write(self, line: str) -> None:
        descriptor = _descriptor(self._stream)
        if descriptor is None:  # in memory
            self._stream.write(f"{line}\n")
            self._stream.flush()
            return
        data = f"{line}\n".encode(self._encoding, errors="backslashreplace")
        may_block = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        while data:
            if may_block:
                self._wait_for_room(descriptor)
            data = data[os.write(descriptor, data[:_PIECE] if may_block else data) :]

    def _wait_for_room(self, descriptor: int) -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        has_room = bool(poll.poll(self._patience))
        self._patience = _PATIENCE if has_room else 0
        if not has_room:
            raise BlockingIOError("nobody reads it")

    @override
    def close(self) -> None:
        pass


class LogOutput(logging.Handler):
    """A handler that writes records to ``target``. What was dropped is told in one line of its own, before the first that can be written
    again.
    """

    def __init__(self, target: LineTarget) -> None:
        super().__init__()
        self.target = target
        self._dropped = 0  # since the last line that was written
        self._since = 0.0
        self._reason = ""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
            if self._dropped:
                self._tell_dropped()
            self.target.write(line)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a line or its target, the caller does not suffer from it
            self._drop(error)

    def reopen(self) -> None:
        """Looks now, rather than at the next line, whether the file has moved."""
        with self.lock or contextlib.nullcontext(), contextlib.suppress(OSError):
            if isinstance(self.target, LogFile):
                self.target.reopen_if_moved()

    @override
    def close(self) -> None:
        with self.lock or contextlib.nullcontext():  # another thread may be writing
            self.target.close()
        super().close()

    def _drop(self, error: Exception) -> None:
        if not self._dropped:
            self._since = time.time()
        DROPPED.total += 1
        self._dropped += 1
        self._reason = _words(error)

    def _tell_dropped(self) -> None:
        fields = {"lines": self._dropped, "reason": self._reason, "seconds": round(time.time() - self._since, 1)}
        told = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING", "msg": "log_lines_dropped"}
        self.target.write(self.format(logging.makeLogRecord(told | fields)))
        self._dropped = 0


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, io.UnsupportedOperation):
        return None


def _close(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"
