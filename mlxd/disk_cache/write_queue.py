"""Blocks that wait to be written."""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from mlxd.disk_cache.tier import Spilled

_MOST_BLOCKS = 512  # of one file


class WriteQueue:
    """A queue that holds at most ``most`` bytes, those that are being written included. Nobody waits for room in it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._waiting: deque[Spilled] = deque()
        self._names: set[bytes] = set()  # that wait, or are being written
        self._size = 0
        self._poked = False

    @property
    def size(self) -> int:
        """Returns how many bytes wait or are being written."""
        return self._size

    @property
    def room(self) -> int:
        """Returns how many more there is room for."""
        return max(0, self._most - self._size)

    def offer(self, blocks: Sequence[Spilled], is_stored: Callable[[Sequence[bytes]], int]) -> int:
        """Takes blocks from the first on, and returns how many; those that wait already or are stored take no room."""
        with self._changed:
            for taken, block in enumerate(blocks):
                if block.digest in self._names or is_stored([block.digest]):
                    continue
                if self._size + block.size > self._most:
                    return taken
                self._names.add(block.digest)
                self._waiting.append(block)
                self._size += block.size
                self._changed.notify_all()
            return len(blocks)

    def take(self, most: int, seconds: float) -> list[Spilled]:
        """Returns the next blocks of together ``most`` bytes, one at least; none when there are none within ``seconds``, or it is poked.
        They count until they are ``done``.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._poked, seconds)
            self._poked = False
            batch: list[Spilled] = []
            while self._waiting and (not batch or (most >= self._waiting[0].size and len(batch) < _MOST_BLOCKS)):
                batch.append(self._waiting.popleft())
                most -= batch[-1].size
            return batch

    def done(self, blocks: Sequence[Spilled]) -> None:
        """Notes that blocks were written, or given up."""
        with self._changed:
            self._size -= sum(block.size for block in blocks)
            self._names.difference_update(block.digest for block in blocks)
            self._changed.notify_all()

    def clear(self) -> int:
        """Gives up what waits, and returns how many blocks that were."""
        with self._changed:
            waiting = list(self._waiting)
            self._waiting.clear()
        self.done(waiting)
        return len(waiting)

    def poke(self) -> None:
        """Makes ``take`` return, also with nothing to write."""
        with self._changed:
            self._poked = True
            self._changed.notify_all()

    def settle(self, seconds: float) -> bool:
        """Waits until nothing waits or is being written, for so long at most; returns whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._names, seconds)
