"""How much memory the arenas of a pool have: as much as what is held asks for, and little more.

An arena grows by being copied, so it grows by a part of what is held, as a vector does (Tarjan, "Amortized computational complexity",
1985): a block is copied a few times at most on the way to a full pool, and no more after that.
"""

from collections.abc import Callable, Iterator
from itertools import count

import msgspec

from mlxd.worker.kv.addresses import Addresses

_GROWTH = 8  # what is held is divided by this: so much is taken beyond what is needed


class Arena(msgspec.Struct, frozen=True, array_like=True):
    """An arena, and how many blocks there is memory for in it."""

    number: int
    blocks: int


class ArenaSizes:
    """The blocks that there is memory for: of each arena the first ones. There may be ``capacity`` of them, those with the lowest numbers.

    Half as much as is held may lie idle, and ``spare`` blocks.
    """

    def __init__(self, addresses: Addresses, capacity: int, spare: int) -> None:
        self.capacity = capacity
        self._addresses = addresses
        self._spare = spare
        self._sizes: dict[int, int] = {}  # arena -> its blocks; none is 0
        self._total = self._room = 0
        self._count()

    def __contains__(self, arena: int) -> bool:
        return arena in self._sizes

    def __iter__(self) -> Iterator[int]:
        return iter(self._sizes)

    @property
    def total(self) -> int:
        """Returns how many blocks there are."""
        return self._total

    @property
    def room(self) -> int:
        """Returns how many more there may be."""
        return self._room

    @property
    def arenas(self) -> tuple[Arena, ...]:
        """Returns the arenas that have blocks."""
        return tuple(Arena(number, self._sizes[number]) for number in sorted(self._sizes))

    def end(self, arena: int) -> int:
        """Returns the number behind the last block that an arena has, or that of its first one where it has none."""
        return self._addresses.blocks(arena).start + self._sizes.get(arena, 0)

    def room_of(self, arena: int) -> int:
        """Returns how many more blocks an arena may have."""
        return max(0, self._most(arena) - self._sizes.get(arena, 0))

    def allow(self, more: int, held: int) -> bool:
        """Tells whether not too much would lie idle of so many blocks ``more``, if ``held`` are held."""
        return 2 * (self._total + more) <= 3 * held + 2 * self._spare

    def wished(self, held: int) -> int:
        """Returns how many blocks there had best be where so many are held."""
        return held + held // _GROWTH + self._spare // 4 if held else 0

    def first(self, blocks: int) -> list[range]:
        """Returns so many blocks of those there are, as if arenas were filled one after the other."""
        found = []
        for arena in sorted(self._sizes):
            start = self._addresses.blocks(arena).start
            found.append(range(start, start + min(blocks, self._sizes[arena])))
            blocks -= len(found[-1])
        return found

    def with_room(self, n: int, tail: Callable[[int], int]) -> int | None:
        """Returns the arena to grow for a piece of ``n`` blocks, of which there are ``tail(arena)`` at its end already: the first that may
        have room for it, else the first that may grow at all, else None.
        """
        missing = next(number for number in count() if number not in self._sizes)  # those behind it have no more room
        growing = [arena for arena in sorted((*self._sizes, missing)) if self.room_of(arena)]
        whole = (arena for arena in growing if tail(arena) + self.room_of(arena) >= n)
        return next(whole, growing[0] if growing else None)

    def grow(self, arena: int, blocks: int) -> range:
        """Gives an arena more blocks, and returns them."""
        start = self.end(arena)
        self._sizes[arena] = self._sizes.get(arena, 0) + blocks
        self._count()
        return range(start, start + blocks)

    def cut(self, arena: int, blocks: int) -> None:
        """Takes an arena's last blocks away."""
        self._sizes[arena] -= blocks
        if not self._sizes[arena]:
            del self._sizes[arena]
        self._count()

    def resize(self, capacity: int) -> None:
        """Changes how many blocks there may be. Those beyond it stay until they are cut."""
        self.capacity = capacity
        self._count()

    def beyond(self, arena: int) -> range:
        """Returns the blocks that an arena has beyond the capacity."""
        start = self._addresses.blocks(arena).start
        return range(start + min(self._most(arena), self._sizes.get(arena, 0)), self.end(arena))

    def _most(self, arena: int) -> int:
        blocks = self._addresses.blocks(arena)
        return min(max(0, self.capacity - blocks.start), len(blocks))

    def _count(self) -> None:
        self._total = sum(self._sizes.values())
        self._room = self.capacity - sum(min(size, self._most(arena)) for arena, size in self._sizes.items())
