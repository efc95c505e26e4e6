"""``Minute``: how much was used within the last 60 seconds.

A sliding window: what was used counts for 60 seconds from then on, so that no minute, wherever it begins, has more than a limit allows. A
bucket that fills up again (GCRA, a token bucket) lets twice as much through in the minute after a pause; and the libraries that have a
window keep an entry for each token, forget what was used when a limit changes, or cannot take what was used already.
"""

from collections import deque
from dataclasses import dataclass

WINDOW = 60.0  # seconds
_STRETCH = 0.25  # seconds; what is used within one is kept as one entry, so there are 240 at most


@dataclass
class _Entry:
    began: float
    ended: float  # it counts for ``WINDOW`` from here on
    amount: int


class Minute:
    """A count of the last 60 seconds. ``now`` is a monotonic clock's, in seconds, and never goes back."""

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque()
        self._used = 0

    def add(self, amount: int, now: float) -> None:
        """Takes note of what was used."""
        if not amount:
            return
        self._forget(now)
        last = self._entries[-1] if self._entries else None
        if last is not None and now - last.began < _STRETCH:
            last.ended = now
            last.amount += amount
        else:
            self._entries.append(_Entry(now, now, amount))
        self._used += amount

    def used(self, now: float) -> int:
        """Returns how much of it counts now."""
        self._forget(now)
        return self._used

    def until_below(self, limit: int, now: float) -> float:
        """Returns the seconds until less than ``limit``, which is at least 1, counts, if nothing more is used; 0 if it does not now."""
        used, wait = self.used(now), 0.0
        for entry in self._entries:
            if used < limit:
                break
            used -= entry.amount
            wait = entry.ended + WINDOW - now
        return wait

    def until_empty(self, now: float) -> float:
        """Returns the seconds until nothing counts any more, if nothing more is used."""
        return self._entries[-1].ended + WINDOW - now if self.used(now) else 0.0

    def _forget(self, now: float) -> None:
        while self._entries and self._entries[0].ended + WINDOW <= now:
            self._used -= self._entries.popleft().amount
