"""Accepts the connections of one listening socket.

``asyncio.Server`` would do, were it not for its end: what it accepted just before it is closed it forgets in silence, and the client
waits for an answer until it gives up; what the system has still in its queue is reset. A port that moves must lose neither.
"""

import asyncio
import errno
import socket
from collections.abc import Callable

import structlog

_AT_ONCE = 64  # connections, before others have their turn
_PAUSE = 1.0  # seconds, when there is no descriptor left
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = structlog.get_logger(__name__)


class Acceptor:
    """Accepts connections from now on, until ``close``; ``accepted`` is given each. The listening socket does not block, and stays the
    caller's to close.
    """

    def __init__(self, listening: socket.socket, accepted: Callable[[socket.socket], None]) -> None:
        self._listening = listening
        self._accepted = accepted
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._resume()

    def close(self) -> None:
        """Accepts who has connected by now, and nobody after."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)
        while self._accept_one():
            pass

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._accept_one():
                return

    def _accept_one(self) -> bool:
        """Accepts one connection, and tells whether there was one."""
        try:
            connected, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionAbortedError:  # it left before its turn
            return True
        except OSError as error:
            self._on_error(error)
            return False
        self._accepted(connected)
        return True

    def _on_error(self, error: OSError) -> None:
        """Pauses where the system has no descriptors left: the socket stays readable then, and to try again at once would be to spin."""
        _log.error("accept_failed", reason=error.strerror)
        if error.errno in _EXHAUSTED and self._pause is None:
            self._loop.remove_reader(self._listening)
            self._pause = self._loop.call_later(_PAUSE, self._resume)
