"""What a cache on disk did since its start."""

import threading
from collections import Counter

from mlxd.disk_terms import DiskDrop, DiskError


class Counts:
    """Counters, safe from every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: Counter[str] = Counter()
        self._dropped: Counter[DiskDrop] = Counter()
        self._errors: Counter[DiskError] = Counter()

    def add(self, **numbers: int) -> None:
        """Counts under names of ``DiskFigures``."""
        with self._lock:
            self._numbers.update(numbers)

    def drop(self, why: DiskDrop, blocks: int) -> None:
        """Counts blocks that are not written."""
        with self._lock:
            self._dropped[why] += blocks

    def fail(self, what: DiskError) -> None:
        with self._lock:
            self._errors[what] += 1

    def numbers(self) -> dict[str, int]:
        """Returns the counters, by their names."""
        with self._lock:
            return dict(self._numbers)

    def dropped(self) -> dict[DiskDrop, int]:
        """Returns the blocks that were not written, by why."""
        with self._lock:
            return {why: blocks for why, blocks in self._dropped.items() if blocks}

    def errors(self) -> dict[DiskError, int]:
        """Returns the errors, by kind."""
        with self._lock:
            return dict(self._errors)
