"""What it costs to bring blocks to disk and back, learned from what it took. It is pure, and has no clock."""

from collections import deque
from dataclasses import dataclass
from statistics import median_low

_REMEMBERED = 5  # observations; of so many, two that something else held up say nothing
_AGAIN = 0.97  # what is not tried for its price is thought a little cheaper each time, until it is tried again
_FIRST_READ = 1 / 500e6  # seconds for a byte, before any was read
_FIRST_COPY = 1 / 1e9  # the same, copied into the cache or out of it

_SHARE = 0.03  # of the time of steps goes into copying blocks that are to be written, ahead of need
_LEAVING_SHARE = 0.1  # of the time of a step that evicts blocks which are not written yet
_MOST = 0.02  # seconds of copying in one step: so much longer a stream waits at most
_FETCHED = 0.05  # seconds of copying into the cache in one step beside others
_BATCH = 8  # blocks worth a copy: each has a cost of its own


@dataclass(frozen=True)
class Transfers:
    """What one step copied between the cache and the host, in bytes, and how long that took, in seconds."""

    spilled: int = 0
    spill_seconds: float = 0.0
    fetched: int = 0
    fetch_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """Returns the seconds of both."""
        return self.spill_seconds + self.fetch_seconds


class _Rate:
    """Seconds for a byte: the median of what was seen last. A disk that had to spin up, or a thread that had no processor, would make the
    mean so large that nothing is tried for long. ``first`` counts as one observation.
    """

    def __init__(self, first: float) -> None:
        self._seen = deque([first], maxlen=_REMEMBERED)
        self._doubt = 1.0

    @property
    def per_byte(self) -> float:
        return median_low(self._seen) * self._doubt

    def observe(self, seconds: float, size: int) -> None:
        if size:
            self._seen.append(seconds / size)
            self._doubt = 1.0

    def doubt(self) -> None:
        """Thinks it a little cheaper, until it is observed again."""
        self._doubt *= _AGAIN


class FetchChoice:
    """Whether what is on disk is worth reading: it is where that takes less time than to compute it."""

    def __init__(self) -> None:
        self._read = _Rate(_FIRST_READ)
        self._restore = _Rate(_FIRST_COPY)

    def observe_read(self, seconds: float, size: int) -> None:
        """Learns from a read of ``size`` bytes."""
        self._read.observe(seconds, size)

    def observe(self, transfers: Transfers) -> None:
        """Learns from what was written into the cache."""
        self._restore.observe(transfers.fetch_seconds, transfers.fetched)

    def seconds(self, size: int) -> float:
        """Returns how long it takes to have ``size`` bytes from disk in the cache."""
        return size * (self._read.per_byte + self._restore.per_byte)

    def bearable(self) -> int:
        """Returns how many bytes may be written into the cache in a step beside others that run."""
        return int(_FETCHED / max(1e-12, self._restore.per_byte))

    def pays(self, size: int, computing: float) -> bool:
        """Tells whether to read ``size`` bytes, which it takes ``computing`` seconds to compute."""
        if self.seconds(size) < computing:
            return True
        self._read.doubt()
        return False


class SpillPace:
    """How many blocks of ``block_bytes`` are copied out of the cache in a step."""

    def __init__(self, block_bytes: int) -> None:
        self._block_bytes = block_bytes
        self._copy = _Rate(_FIRST_COPY)
        self._saved = 0.0  # seconds that may be spent

    def observe(self, transfers: Transfers) -> None:
        """Learns from what was copied out of the cache."""
        self._copy.observe(transfers.spill_seconds, transfers.spilled)
        self._saved = max(0.0, self._saved - transfers.spill_seconds)

    def blocks(self, step: float, *, leaving: int, wanted: int) -> int:
        """Returns how many may be copied in a step that takes ``step`` seconds, where so many are ``leaving`` and so many are ``wanted``
        beside these.
        """
        self._saved = min(_MOST, self._saved + _SHARE * step)
        seconds = max(self._saved, min(_MOST, _LEAVING_SHARE * step)) if leaving else self._saved
        blocks = int(seconds / self._seconds)
        return blocks if leaving or blocks >= min(_BATCH, wanted) else 0

    def idle(self) -> int:
        """Returns how many may be copied where nobody computes anything: whoever arrives waits so long at most."""
        return max(1, int(_MOST / self._seconds))

    @property
    def _seconds(self) -> float:
        """Returns the seconds of a block."""
        return max(1e-9, self._block_bytes * self._copy.per_byte)
