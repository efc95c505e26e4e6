"""How far a fetch is: what is told, and how often."""

import threading
import time
from collections.abc import Callable

from mlxd.types import LoadStage

# ``(stage, done, total)`` in bytes; both 0 where a stage cannot tell. May be called from several threads.
Progress = Callable[[LoadStage, int, int], None]

INTERVAL = 0.2  # seconds between two reports of one stage


class Throttled:
    """A progress that passes on the first report of a stage, its last one (``done == total``), and one per ``INTERVAL`` between.

    ``done`` never runs backwards within a stage and never exceeds a known ``total``; calls are serialized, because downloads report from
    several threads.
    """

    def __init__(self, progress: Progress, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = progress
        self._clock = clock
        self._lock = threading.Lock()
        self._stage: LoadStage | None = None
        self._told: tuple[int, int] | None = None
        self._most = 0
        self._next = 0.0

    def __call__(self, stage: LoadStage, done: int, total: int) -> None:
        """Passes the report on, or swallows it."""
        with self._lock:
            now = self._clock()
            if stage != self._stage:
                self._stage, self._told, self._most = stage, None, 0
            self._most = max(self._most, done)
            report = (min(self._most, total) if total else self._most, total)
            last = total > 0 and report[0] == total
            if report == self._told or (self._told is not None and not last and now < self._next):
                return
            self._told, self._next = report, now + INTERVAL
            self._progress(stage, *report)
