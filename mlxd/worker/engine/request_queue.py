"""Requests in order of arrival, from the I/O thread to the engine thread.

A request waits from the moment it is announced, while it is being tokenized too, so that the limit counts every one
that is not running yet. Refusing one costs nothing: it happens before its prompt is looked at.
"""

import threading
from collections import OrderedDict

from mlxd.errors import QueueFullError
from mlxd.worker.engine.request import EngineRequest

_SMOOTHING = 0.3  # weight of the newest duration in the moving average
_FIRST_GUESS = 5.0  # seconds, before any request has finished


class RequestQueue:
    """Thread-safe. ``max_queue`` requests may wait beside the one that runs; it may be changed at any time."""

    def __init__(self, max_queue: int) -> None:
        self.max_queue = max_queue
        self._condition = threading.Condition()
        self._waiting: OrderedDict[str, EngineRequest | None] = OrderedDict()  # None: being tokenized
        self._running: EngineRequest | None = None
        self._average = _FIRST_GUESS
        self._closed = False

    @property
    def waiting(self) -> int:
        """Announced and not running."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """0 or 1."""
        return int(self._running is not None)

    def announce(self, request_id: str) -> None:
        """Take a place. Raises ``QueueFullError`` with the time after which there should be one."""
        with self._condition:
            # With nothing running, or what runs about to leave, the first in line is not waiting for anybody.
            free = self._running is None or self._running.aborted
            if len(self._waiting) - free >= self.max_queue:
                raise QueueFullError(
                    f"{len(self._waiting)} requests are waiting for this model already; try again later",
                    retry_after=round(self._average * (len(self._waiting) + 1), 1),
                )
            self._waiting[request_id] = None

    def put(self, request: EngineRequest) -> bool:
        """The tokens of an announced request are known. False for one withdrawn meanwhile: it is forgotten."""
        with self._condition:
            if request.id not in self._waiting:
                return False
            self._waiting[request.id] = request
            self._condition.notify_all()
            return True

    def withdraw(self, request_id: str) -> bool:
        """Abort: a waiting request is gone, a running one ends within a step. False if neither is known."""
        with self._condition:
            if request_id in self._waiting:
                del self._waiting[request_id]
                self._condition.notify_all()
                return True
            if self._running is not None and self._running.id == request_id:
                self._running.aborted = True
                return True
            return False

    def take(self) -> EngineRequest | None:
        """Block until the first in line can run; None once closed. Order of arrival is kept: a request that is
        still being tokenized holds back those behind it.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._first() is not None)
            if self._closed:
                return None
            _, self._running = self._waiting.popitem(last=False)
            return self._running

    def done(self, seconds: float | None) -> None:
        """The running request is over; ``seconds`` it took feed the estimate, None for one that was cut short."""
        with self._condition:
            self._running = None
            if seconds is not None:
                self._average += _SMOOTHING * (seconds - self._average)

    def close(self) -> None:
        """Wake the engine to end; the running request is aborted."""
        with self._condition:
            self._closed = True
            if self._running is not None:
                self._running.aborted = True
            self._condition.notify_all()

    def _first(self) -> EngineRequest | None:
        return next(iter(self._waiting.values()), None)
