"""Who holds which block of the KV cache, and which may be taken back.

A block is *free* (in ``FreeExtents``), *used* (references > 0), or *cached* (no references, but still findable
through the prefix index, until it is evicted). Blocks live in arenas of equal size, which exist only while
they are needed: the runtime allocates tensors for the arenas that exist, and drops those that are gone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from mlxd.worker.kv.addresses import Addresses
from mlxd.worker.kv.free_extents import FreeExtents

_LOOKED_AT = 16  # places around the least recently used blocks, before the best one is taken


@dataclass(frozen=True, kw_only=True)
class PoolCounts:
    """How many blocks are in each state; they add up to ``total``. ``shared`` of the used have more than one holder."""

    total: int
    used: int
    shared: int
    cached: int
    free: int
    references: int  # sum over blocks: what unshared copies would take


class BlockPool:
    """The blocks ``0 … max_arenas * arena_blocks - 1``; ``on_evict`` is told each cached block that is taken back.

    Every operation costs O(blocks touched).
    """

    def __init__(self, *, arena_blocks: int, max_arenas: int, on_evict: Callable[[int], None]) -> None:
        self.addresses = Addresses(arena_blocks)
        self.evicted = 0  # since start
        self._max_arenas = max_arenas
        self._on_evict = on_evict
        self.reset()

    def reset(self) -> None:
        """Makes all blocks free again, and no arena exists; nobody is told."""
        self._free = FreeExtents(self.addresses)
        self._references: dict[int, int] = {}  # used blocks
        self._findable: set[int] = set()  # used or cached blocks that the prefix index knows
        self._cached: dict[int, int] = {}  # no references, findable; least recently used first -> when that was
        self._uses = 0
        self._in_arena: dict[int, int] = {}  # existing arena -> its blocks that are used or cached
        self._shared = 0
        self._reference_sum = 0

    @property
    def arenas(self) -> frozenset[int]:
        """Returns the arenas that exist."""
        return frozenset(self._in_arena)

    @property
    def capacity(self) -> int:
        """Returns how many blocks can ever be held at once under the present limit."""
        return self._max_arenas * self.addresses.arena_blocks

    @property
    def available(self) -> int:
        """Returns how many blocks an allocation can get now: ``free`` ones, or by eviction."""
        return self.free + len(self._cached)

    @property
    def free(self) -> int:
        """Returns how many blocks can be taken without evicting anything, those of arenas not made yet included."""
        return len(self._free) + max(0, self._max_arenas - len(self._in_arena)) * self.addresses.arena_blocks

    def counts(self) -> PoolCounts:
        """Returns how many blocks are in each state, in O(1)."""
        total = len(self._in_arena) * self.addresses.arena_blocks
        used, cached = len(self._references), len(self._cached)
        return PoolCounts(
            total=total, used=used, shared=self._shared, cached=cached, free=total - used - cached, references=self._reference_sum
        )

    def allocate(self, n: int, after: int | None = None) -> list[range] | None:
        """Returns ``n`` blocks with one reference each, preferably right after block ``after``; None when not now."""
        if n > self.available:
            return None
        while len(self._free) < n and len(self._in_arena) < self._max_arenas:
            self._grow()
        return self._take(n, after)

    def continues(self, after: int | None, n: int) -> bool:
        """Tells whether ``n`` blocks right after ``after`` are free, or old enough to make place."""
        return len(self._behind(after, n)) == n

    def retain(self, block: int) -> None:
        """Adds one holder of a used or cached block. Raises ``ValueError`` for a free one."""
        held = self._references.get(block, 0)
        if not held and block not in self._cached:
            raise ValueError(f"block {block} is free: it cannot be retained")
        self._cached.pop(block, None)
        self._references[block] = held + 1
        self._shared += held == 1
        self._reference_sum += 1

    def release(self, block: int) -> None:
        """Takes one holder away. The last one leaves the block cached when it is findable, else free. To evict a chain's tail before its
        head, release the tail first. Raises ``ValueError`` on a double free.
        """
        held = self._references.get(block, 0)
        if not held:
            raise ValueError(f"block {block} is not held: it was released twice")
        self._reference_sum -= 1
        self._shared -= held == 2
        if held > 1:
            self._references[block] = held - 1
            return
        del self._references[block]
        if block in self._findable and self._is_within(block):
            self._uses += 1
            self._cached[block] = self._uses
        else:
            self._give_back(block)

    def make_findable(self, block: int) -> None:
        """Notes that the prefix index knows this used block now: it outlives its holders. Raises ``ValueError`` for one not held."""
        if block not in self._references:
            raise ValueError(f"block {block} is not held: it cannot be registered")
        self._findable.add(block)

    def forget(self, block: int) -> None:
        """Takes in that the prefix index has forgotten this findable block: a cached one is free now, a used one when its last holder
        leaves.
        """
        self._findable.remove(block)
        if block in self._cached:
            self._evict(block)

    def hand_over(self, block: int, target: int) -> None:
        """Notes that the prefix index knows ``target`` instead of ``block`` from now on; both are used."""
        self.make_findable(target)
        self._findable.remove(block)

    def is_findable(self, block: int) -> bool:
        """Tells whether the prefix index knows the block."""
        return block in self._findable

    def references(self, block: int) -> int:
        """Returns how many hold a block; 0 for cached and free ones."""
        return self._references.get(block, 0)

    def evict_cached(self, n: int | None = None) -> int:
        """Frees the ``n`` least recently used cached blocks (all by default), and returns how many were freed."""
        count = len(self._cached) if n is None else min(n, len(self._cached))
        for _ in range(count):
            self._evict(next(iter(self._cached)))
        return count

    def resize(self, max_arenas: int) -> None:
        """Changes the limit. Arenas beyond it lose their cached blocks and end when their last holder leaves."""
        self._max_arenas = max_arenas
        for arena in [arena for arena in self._in_arena if arena >= max_arenas]:
            for block in self.addresses.blocks(arena):
                if block in self._cached:
                    self._evict(block)
            self._free.remove_arena(arena)
            self._drop_if_empty(arena)
        for arena in [arena for arena in self._in_arena if arena < max_arenas]:
            self._restore(arena)

    def trim(self) -> None:
        """Gives up arenas that hold nothing."""
        for arena in [arena for arena, held in self._in_arena.items() if not held]:
            self._free.remove_arena(arena)
            del self._in_arena[arena]

    def check_integrity(self) -> None:
        """Raises ``AssertionError`` unless used + cached + free = total and every count agrees. It costs O(pool), and is for tests."""
        everything = {block for arena in self._in_arena for block in self.addresses.blocks(arena)}
        free = [block for run in self._free.ranges() for block in run]
        used, cached = set(self._references), set(self._cached)
        retired = {block for block in everything - used - cached if not self._is_within(block)}
        assert len(free) == len(set(free)) == len(self._free), "free blocks are counted wrongly"
        assert set(free) | used | cached | retired == everything, "a block is lost"
        assert not used & cached, "a cached block is held"
        assert not (used | cached) & set(free), "a held block is free"
        assert cached <= self._findable <= used | cached, "findable blocks are neither used nor cached"
        assert all(held > 0 for held in self._references.values()), "a used block has no holder"
        assert sum(self._references.values()) == self._reference_sum, "references are counted wrongly"
        assert sum(held > 1 for held in self._references.values()) == self._shared, "shared blocks are counted wrongly"
        for arena, held in self._in_arena.items():
            assert held == sum(self.addresses.arena(block) == arena for block in used | cached), f"arena {arena} is counted wrongly"

    def _take(self, n: int, after: int | None) -> list[range]:
        """Takes ``n`` of the blocks that are free or can be, in as few ranges as can be found quickly. Where free ones would be many
        pieces, cached ones make place for one: of those that were not used for long, not always the very least recently used.
        """
        pieces: list[range] = []
        while n:
            piece = min(n, self.addresses.arena_blocks)
            if self._free.largest >= piece or not self._cached or (after is not None and self._free.follow(after) >= n):
                taken = self._free.take(piece if self._cached else n, after)
            elif len(self._in_arena) < self._max_arenas:
                self._grow()
                continue
            else:
                taken = [self._emptied(self._behind(after, n) or self._old_piece(n))]
            pieces += [self._held(run) for run in taken]
            n, after = n - sum(map(len, taken)), pieces[-1][-1]
        return pieces

    def _emptied(self, piece: range) -> range:
        """Evicts what is cached there, the least recently used first, and takes it."""
        for block in sorted((block for block in piece if block in self._cached), key=self._cached.__getitem__):
            self._evict(block)
        self._free.cut(piece)
        return piece

    def _held(self, blocks: range) -> range:
        """Gives the blocks one reference each."""
        for block in blocks:
            self._references[block] = 1
        self._in_arena[self.addresses.arena(blocks.start)] += len(blocks)
        self._reference_sum += len(blocks)
        return blocks

    def _behind(self, after: int | None, most: int) -> range:
        """Returns the blocks right after ``after`` that may be taken."""
        if after is None or self.addresses.is_first(after + 1):
            return range(0)
        return self._open(after + 1, most)

    def _open(self, start: int, most: int) -> range:
        """Returns up to ``most`` blocks from ``start`` on, of its arena, that are free or old."""
        stop, end = start, min(start + most, self.addresses.around(start).stop)
        while stop < end and self._may_go(stop):
            stop += 1
        return range(start, stop)

    def _old_piece(self, n: int) -> range:
        """Returns ``n`` blocks that are free or old around one of the least recently used, or the longest range of some that are less."""
        best, seen = range(0), 0
        for block in self._cached:
            if block in best:
                continue
            first, lowest = block, self.addresses.around(block).start
            while first > lowest and block - first < n - 1 and self._may_go(first - 1):
                first -= 1
            piece = range(first, self._open(block, n).stop)
            if len(piece) >= n:
                return self._oldest(piece, block, n)
            best = max(best, piece, key=len)
            seen += 1
            if seen == _LOOKED_AT:
                break
        return best[:n]

    def _oldest(self, piece: range, block: int, n: int) -> range:
        """Returns, of the ranges of ``n`` blocks in ``piece`` that hold ``block``, the one whose newest block is oldest."""
        used = [self._cached.get(one, 0) for one in piece]
        at = block - piece.start
        before = list(accumulate(reversed(used[: at + 1]), max))  # the newest of so many blocks up to ``block``
        behind = list(accumulate(used[at:], max))
        left = range(max(0, n - len(behind)), min(n, at + 1))
        best = min(left, key=lambda count: max(before[count], behind[n - 1 - count]))
        return range(block - best, block - best + n)

    def _may_go(self, block: int) -> bool:
        """Tells whether the block is free, or cached and older than half of what is cached."""
        if block in self._references or not self._is_within(block):
            return False
        used = self._cached.get(block)
        return used is None or 4 * used <= 3 * self._uses + self._cached[next(iter(self._cached))]

    def _grow(self) -> None:
        arena = next(number for number in range(self._max_arenas) if number not in self._in_arena)
        self._in_arena[arena] = 0
        blocks = self.addresses.blocks(arena)
        self._free.add(blocks.start, blocks.stop)

    def _evict(self, block: int) -> None:
        del self._cached[block]
        self._give_back(block)

    def _give_back(self, block: int) -> None:
        if block in self._findable:
            self._findable.remove(block)
            self.evicted += 1
            self._on_evict(block)
        arena = self.addresses.arena(block)
        self._in_arena[arena] -= 1
        if self._is_within(block):
            self._free.add(block, block + 1)
        else:
            self._drop_if_empty(arena)

    def _is_within(self, block: int) -> bool:
        """Tells whether the block may be handed out under the present limit."""
        return self.addresses.arena(block) < self._max_arenas

    def _drop_if_empty(self, arena: int) -> None:
        if self._in_arena.get(arena) == 0:
            del self._in_arena[arena]

    def _restore(self, arena: int) -> None:
        """Frees the unheld blocks of an arena that was being retired and is within the limit again."""
        known = {block for run in self._free.ranges() for block in run if self.addresses.arena(block) == arena}
        for block in self.addresses.blocks(arena):
            if block not in self._references and block not in self._cached and block not in known:
                self._free.add(block, block + 1)
