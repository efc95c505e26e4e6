"""The memory of a pool's arenas: which of its blocks are free, and how it grows and shrinks with what is in use."""

from collections.abc import Container, Sequence
from itertools import islice

from mlxd.worker.kv.addresses import Addresses
from mlxd.worker.kv.arena_sizes import ArenaSizes
from mlxd.worker.kv.free_extents import FreeExtents

_PART = 16  # what is in use is divided by this: where so few blocks are left at its end, an arena grows, and by no fewer


class ArenaSpace:
    """The ``free`` blocks of arenas of certain ``sizes``. Who uses the others knows how many are ``in_use``."""

    def __init__(self, addresses: Addresses, capacity: int, spare: int) -> None:
        self.sizes = ArenaSizes(addresses, capacity, spare)
        self.free = FreeExtents(addresses)
        self._addresses = addresses

    def __len__(self) -> int:
        """Returns how many blocks can be taken, those included that there is no memory for yet."""
        return len(self.free) + max(0, self.sizes.room)

    def may_move(self, n: int, in_use: int) -> bool:
        """Tells whether blocks may be moved to ``n`` others: once their own places are free, not too much memory lies idle."""
        arena = self.sizes.with_room(n, self._tail)
        return arena is None or self.free.largest >= n or self.sizes.allow(n - self._tail(arena), in_use)

    def lacking(self, after: int | None, n: int, in_use: int) -> int:
        """Returns how many blocks an arena would have to grow by, for ``n`` to lie right after ``after``; 0 where that is not to be."""
        if after is None:
            return 0
        arena, free = self._addresses.arena(after), self.free.follow(after)
        lacking = n - free
        is_last = after + 1 + free == self.sizes.end(arena)
        if not is_last or not 0 < lacking <= self.sizes.room_of(arena):
            return 0
        return lacking if self.sizes.allow(self._worth(arena, lacking, in_use + n), in_use + n) else 0

    def grow_behind(self, after: int | None, n: int, in_use: int) -> None:
        """Makes an arena larger, if it may be, for ``n`` blocks to lie right after ``after``."""
        lacking = self.lacking(after, n, in_use)
        if lacking and after is not None:
            self._grow(self._addresses.arena(after), lacking, in_use + n)

    def grow(self, piece: int, n: int, in_use: int) -> bool:
        """Makes an arena larger, if it may be, for ``piece`` of ``n`` blocks to lie in one. Returns False where there is memory enough that
        lies idle, though in pieces.
        """
        arena = self.sizes.with_room(piece, self._tail)
        if arena is None:
            return False
        least = min(piece - self._tail(arena), self.sizes.room_of(arena))
        if not self.sizes.allow(self._worth(arena, least, in_use + n), in_use + n):
            least = min(n - len(self.free), self.sizes.room_of(arena))
        if least <= 0:
            return False
        self._grow(arena, least, in_use + n)
        return True

    def grow_ahead(self, in_use: int, used: Container[int]) -> None:
        """Makes the arena that grows next larger while a few of its last blocks are free still: whoever copies what it holds has until
        these are taken. Where enough is free elsewhere, it does so only if the block before these is one of those ``used``: who has it
        goes on behind it.
        """
        arena, part = self.sizes.with_room(1, self._tail), in_use // _PART
        if arena is None or arena not in self.sizes:
            return
        tail = self._tail(arena)
        if tail > part or (len(self.free) > 2 * part and self.sizes.end(arena) - tail - 1 not in used):
            return
        more = self._worth(arena, self.sizes.wished(in_use) + part - self.sizes.total, in_use)
        if more > 0 and self.sizes.allow(more, in_use):
            self._grow(arena, more, in_use)

    def has_idle(self, in_use: int) -> bool:
        """Tells whether more memory lies idle than may."""
        return not self.sizes.allow(0, in_use)

    def shrink(self, total: int) -> None:
        """Gives up free blocks at the ends of arenas, until there are no more than ``total``."""
        for arena in sorted(self.sizes, reverse=True):
            blocks = min(self._tail(arena), self.sizes.total - total)
            if blocks > 0:
                end = self.sizes.end(arena)
                self.free.cut(range(end - blocks, end))
                self.sizes.cut(arena, blocks)

    def shrink_to_capacity(self, held: Container[int]) -> None:
        """Gives up what arenas have beyond the capacity, behind whatever is ``held`` there."""
        for arena in [arena for arena in self.sizes if self.sizes.beyond(arena)]:
            beyond = self.sizes.beyond(arena)
            last = next((block for block in reversed(beyond) if block in held), beyond.start - 1)
            if last + 1 < beyond.stop:
                self.sizes.cut(arena, beyond.stop - last - 1)

    def free_in(self, blocks: Sequence[range], most: int) -> list[int]:
        """Returns up to ``most`` free ones of ``blocks``, in order."""
        found = (block for run in self.free.ranges() for block in run if any(block in part for part in blocks))
        return list(islice(found, most))

    def exchange(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Makes ``sources`` free, and ``targets``, which are, not."""
        for run in self._addresses.ranges(targets):
            self.free.cut(run)
        for run in self._addresses.ranges(sources):
            self.free.add(run.start, run.stop)

    def _grow(self, arena: int, least: int, in_use: int) -> None:
        """Makes an arena larger by as much as is worth it for so many blocks in use, and at least by ``least``."""
        wished = max(least, self.sizes.wished(in_use) - self.sizes.total)
        worth = self._worth(arena, wished, in_use)
        new = self.sizes.grow(arena, worth if self.sizes.allow(worth, in_use) else min(wished, self.sizes.room_of(arena)))
        self.free.add(new.start, new.stop)

    def _worth(self, arena: int, blocks: int, in_use: int) -> int:
        """Returns by how many blocks an arena is to grow that is to grow by so many at least: by fewer is not worth its copy."""
        return min(max(blocks, in_use // _PART), self.sizes.room_of(arena))

    def _tail(self, arena: int) -> int:
        """Returns how many blocks are free at the end of an arena."""
        return self.free.before(self.sizes.end(arena))
