"""Which blocks of a cache are on disk, and in which extent: in memory, so that nobody waits to learn it."""

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from mlxd.disk_cache.index import NamedExtent


@dataclass(frozen=True)
class Held:
    """How much a cache has on disk."""

    blocks: int
    size: int  # bytes


class Catalogue:
    """What one process knows of a cache. Another one may have removed an extent since, which reading finds out. Safe from every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._extent: dict[bytes, int] = {}
        self._extents: dict[int, NamedExtent] = {}
        self._uses: dict[int, int] = {}  # extent -> when it was of use, which the index does not know yet
        self._bytes = 0

    def known(self, digests: Sequence[bytes]) -> int:
        """Returns how many of the blocks, from the first on, are there."""
        return next((index for index, digest in enumerate(digests) if digest not in self._extent), len(digests))

    def extent(self, digest: bytes) -> int | None:
        """Returns the extent that holds a block."""
        return self._extent.get(digest)

    def extents(self) -> frozenset[int]:
        """Returns the extents that are known."""
        with self._lock:
            return frozenset(self._extents)

    def held(self) -> Held:
        """Returns how much there is."""
        return Held(len(self._extent), self._bytes)

    def add(self, extents: Iterable[NamedExtent]) -> None:
        """Notes extents that are there."""
        with self._lock:
            for extent in extents:
                if extent.id not in self._extents:
                    self._extents[extent.id] = extent
                    self._bytes += extent.size
                    self._extent.update(dict.fromkeys(extent.names, extent.id))

    def drop(self, extents: Iterable[int]) -> None:
        """Forgets extents that are gone."""
        with self._lock:
            for number in extents:
                extent = self._extents.pop(number, None)
                if extent is not None:
                    self._bytes -= extent.size
                    for name in extent.names:
                        if self._extent.get(name) == number:
                            del self._extent[name]

    def use(self, digests: Sequence[bytes]) -> None:
        """Notes that blocks of a chain were of use, the first ones as the most recent."""
        now = time.time_ns() // 1000
        with self._lock:
            for back, digest in enumerate(digests):
                extent = self._extent.get(digest)
                if extent is not None:
                    self._uses[extent] = max(now - back, self._uses.get(extent, 0))

    def take_uses(self, most: int) -> list[tuple[int, int]]:
        """Returns pairs of an extent and when it was of use, which are told once."""
        with self._lock:
            chosen = list(islice(self._uses.items(), most))
            for extent, _ in chosen:
                del self._uses[extent]
            return chosen
