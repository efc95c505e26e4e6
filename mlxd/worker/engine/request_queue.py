"""Requests in order of arrival, from the I/O thread to the engine thread.

A request waits from the moment it is announced until it starts, while it is being tokenized too, so that the limit counts every
one that is not running yet. Refusing one costs nothing: it happens before its prompt is looked at.

::

    announce ─▶ waiting (being tokenized) ─ put ─▶ waiting ─ arrivals, started ─▶ running ─ finish ─▶ gone
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from mlxd.errors import QueueFullError
from mlxd.worker.engine.queued import QueuedRequest

R = TypeVar("R", bound=QueuedRequest)

_SMOOTHING = 0.3  # weight of the newest duration in the moving average
_FIRST_GUESS = 5.0  # seconds, before any request has finished


class RequestQueue(Generic[R]):
    """A thread-safe queue. ``max_queue`` requests may wait beside the ``capacity`` that may run; both may be changed at any time."""

    def __init__(self, max_queue: int, capacity: int = 1) -> None:
        self.max_queue = max_queue
        self.capacity = capacity
        self._condition = threading.Condition()
        self._waiting: OrderedDict[str, R | None] = OrderedDict()  # None: being tokenized
        self._arrived: dict[str, R] = {}  # waiting, and the engine does not know them yet
        self._running: dict[str, R] = {}
        self._commands: list[Callable[[], None]] = []
        self._average = _FIRST_GUESS
        self._closed = False

    @property
    def waiting(self) -> int:
        """Returns how many are announced and not running."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Returns how many are started and not finished."""
        return len(self._running)

    # ---- for the I/O thread ----

    def announce(self, request_id: str, behind: int = 0) -> None:
        """Takes a place, where there are as many more for those that come right ``behind``. Raises ``QueueFullError`` with the time after
        which there should be one.
        """
        with self._condition:
            # Those for whom there is a place to run, or one about to be left, are not waiting for anybody.
            places = self.capacity - sum(not request.aborted for request in self._running.values())
            if len(self._waiting) + behind - max(0, places) >= self.max_queue:
                raise QueueFullError(
                    f"{len(self._waiting)} requests are waiting for this model already{_beside(behind)}; try again later",
                    retry_after=round(self._average * (len(self._waiting) + 1) / self.capacity, 1),
                )
            self._waiting[request_id] = None

    def put(self, request: R) -> bool:
        """Hands over an announced request, whose tokens are known. Returns False for one withdrawn meanwhile: it is forgotten."""
        with self._condition:
            if request.id not in self._waiting:
                return False
            self._waiting[request.id] = self._arrived[request.id] = request
            self._condition.notify_all()
            return True

    def withdraw(self, request_id: str) -> bool:
        """Aborts: a waiting request is gone, one the engine has ends within a step. Returns False if neither is known."""
        with self._condition:
            known = request_id in self._waiting
            request = self._waiting.pop(request_id, None) or self._running.get(request_id)
            self._arrived.pop(request_id, None)
            if request is not None:
                request.aborted = True
            self._condition.notify_all()
            return known or request is not None

    def close(self) -> None:
        """Wakes the engine to end; running requests are aborted."""
        with self._condition:
            self._closed = True
            for request in self._running.values():
                request.aborted = True
            self._condition.notify_all()

    def call(self, command: Callable[[], None]) -> None:
        """Lets the engine thread run ``command`` between two steps."""
        with self._condition:
            self._commands.append(command)
            self._condition.notify_all()

    # ---- for the engine ----

    def wait_for_work(self, seconds: float | None) -> bool:
        """Waits so many seconds, or for ever, until something arrives. Returns False once closed."""
        with self._condition:
            if seconds != 0.0:
                self._condition.wait_for(lambda: self._closed or bool(self._commands) or bool(self._arrived), seconds)
            return not self._closed

    def commands(self) -> list[Callable[[], None]]:
        """Returns what was asked by ``call`` since the last time."""
        with self._condition:
            commands, self._commands = self._commands, []
            return commands

    def arrivals(self) -> list[R]:
        """Returns those whose tokens are known and that were not handed over before. They go on waiting until ``started``."""
        with self._condition:
            arrived, self._arrived = list(self._arrived.values()), {}
            return arrived

    def started(self, request_id: str) -> None:
        """Notes that a request runs; it has no effect if it was withdrawn."""
        with self._condition:
            request = self._waiting.pop(request_id, None)
            if request is not None:
                self._running[request_id] = request

    def finish(self, request_id: str, seconds: float | None) -> None:
        """Notes that a request is over, whatever it was; ``seconds`` it took feed the estimate, None for one that was cut short."""
        with self._condition:
            self._running.pop(request_id, None)
            self._waiting.pop(request_id, None)
            if seconds is not None:
                self._average += _SMOOTHING * (seconds - self._average)


def _beside(behind: int) -> str:
    return f", too many for {behind + 1} more" if behind else ""
