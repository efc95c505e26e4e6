"""The requests that were given a worker: each counts from then to its end, submitted or not, so that none loses the worker in between."""

import time
from collections.abc import Callable

from mlxd.control.broadcast import Broadcast

_WEIGHT = 0.2  # of the newest in the mean of durations
_UNKNOWN = 10.0  # seconds: what a request is taken to last where none has ended yet
_SOON = 1.0  # seconds that one lasts still that has taken longer than most


class Lease:
    """The right of one request to a worker, from when it is made."""

    def __init__(self, ended: Callable[["Lease"], None]) -> None:
        self.began = time.monotonic()
        self._ended = ended

    def end(self) -> None:
        """Gives the right back; it has no effect after the first time."""
        ended, self._ended = self._ended, lambda _: None
        ended(self)


class Leases:
    """The leases of one worker; ``ended`` is called at the end of each."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._running: set[Lease] = set()
        self._ended = ended
        self._changed = Broadcast()
        self._mean = _UNKNOWN

    def __len__(self) -> int:
        return len(self._running)

    def begin(self) -> Lease:
        """Begins a lease, now."""
        lease = Lease(self._end)
        self._running.add(lease)
        return lease

    def rest(self, now: float) -> float:
        """Returns how many seconds those that run are likely to take still, by how long the last ones took."""
        return max((max(_SOON, self._mean - (now - lease.began)) for lease in self._running), default=0.0)

    async def wait_none(self) -> None:
        """Waits until there is none."""
        while self._running:
            await self._changed.wait()

    def _end(self, lease: Lease) -> None:
        self._running.discard(lease)
        duration = time.monotonic() - lease.began
        self._mean += _WEIGHT * (duration - self._mean)
        self._changed.tell()
        self._ended()
