"""Who holds which block of the KV cache, and which may be taken back.

A block is *free* (in ``ArenaSpace``), *used* (references > 0), or *cached* (no references, but still findable
through the prefix index, until it is evicted, in ``EvictionOrder``). Blocks live in arenas, which have as much memory as is needed:
the runtime makes their tensors as large as it is told, copying what they hold.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from mlxd.worker.kv.addresses import Addresses
from mlxd.worker.kv.arena_sizes import Arena
from mlxd.worker.kv.arena_space import ArenaSpace
from mlxd.worker.kv.eviction_order import EvictionOrder, Turn

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
    """The blocks ``0 … capacity - 1``, ``arena_blocks`` of them an arena; ``on_evict`` is told each cached block that is taken back. Memory
    for ``spare`` blocks may lie idle, however few are held.

    Every operation costs O(blocks touched).
    """

    def __init__(self, *, arena_blocks: int, capacity: int, on_evict: Callable[[int], None], spare: int = 0) -> None:
        self.addresses = Addresses(arena_blocks)
        self.evicted = 0  # since start
        self._spare = spare
        self._on_evict = on_evict
        self._references: dict[int, int]  # used blocks
        self._findable: set[int]  # used or cached blocks that the prefix index knows
        self._order = EvictionOrder(capacity)  # of cached blocks: no references, findable
        self._begin(capacity)

    def reset(self) -> None:
        """Makes all blocks free again, and no arena exists; nobody is told."""
        self._begin(self.capacity)

    @property
    def arenas(self) -> tuple[Arena, ...]:
        """Returns the arenas that exist, each with its lowest numbers."""
        return self._space.sizes.arenas

    @property
    def capacity(self) -> int:
        """Returns how many blocks can ever be held at once under the present limit."""
        return self._space.sizes.capacity

    @property
    def available(self) -> int:
        """Returns how many blocks an allocation can get now: ``free`` ones, or by eviction."""
        return self.free + self._order.evictable

    @property
    def free(self) -> int:
        """Returns how many blocks can be taken without evicting anything, those included that there is no memory for yet."""
        return len(self._space)

    def counts(self) -> PoolCounts:
        """Returns how many blocks are in each state, in O(1)."""
        total = self._space.sizes.total
        used, cached = len(self._references), len(self._order)
        return PoolCounts(
            total=total, used=used, shared=self._shared, cached=cached, free=total - used - cached, references=self._reference_sum
        )

    @property
    def pinned(self) -> int:
        """Returns how many blocks are pinned, used or cached."""
        return self._order.pinned

    def held(self) -> dict[str, int]:
        """Returns how many blocks each holder of a key was the last to use, by name, used and cached ones but those that are pinned."""
        return self._order.held()

    def user_of(self, block: int) -> str:
        """Returns who was the last to use a block."""
        return self._order.users.get(block, "")

    def quotas(self) -> dict[str, int]:
        """Returns how many blocks are whose own, by the name of the key."""
        return self._order.quotas()

    def share(self, shares: Mapping[str, float]) -> None:
        """Makes these parts of the blocks somebody's own, by the names of keys."""
        self._order.share(shares)

    def allocate(self, n: int, after: int | None = None, who: str = "") -> list[range] | None:
        """Returns ``n`` blocks with one reference each, of ``who``, preferably right after block ``after``; None when not now."""
        if n > self.available:
            return None
        return self._take(n, after, who)

    def continues(self, after: int | None, n: int, who: str = "") -> bool:
        """Tells whether ``n`` blocks right after ``after`` are free, or may be had there, or are old enough to make place."""
        turn = self._order.turn(who, n) if self._order.evictable else None
        return len(self._behind(after, n, turn)) == n or self._space.lacking(after, n, self._in_use) > 0

    def may_move(self, n: int) -> bool:
        """Tells whether blocks may be moved to ``n`` others: once their own places are free, not too much memory lies idle."""
        return self._space.may_move(n, self._in_use)

    def retain(self, block: int, who: str = "") -> None:
        """Adds one holder of a used or cached block. Raises ``ValueError`` for a free one."""
        held = self._references.get(block, 0)
        if not held and block not in self._order:
            raise ValueError(f"block {block} is free: it cannot be retained")
        self._order.use(block, who)
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
        if block in self._findable and (self._is_within(block) or self._order.is_pinned(block)):
            self._order.cache(block)
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
        if block in self._order:
            self._give_back(block)
        else:
            self._order.drop_pins(block)

    def hand_over(self, block: int, target: int) -> None:
        """Notes that the prefix index knows ``target`` instead of ``block`` from now on; both are used, and not pinned."""
        self.make_findable(target)
        self._findable.remove(block)
        self._order.hand_over(block, target)

    def pin(self, block: int) -> None:
        """Makes a findable block stay until it is unpinned as often. Raises ``ValueError`` for one that nobody finds."""
        if block not in self._findable:
            raise ValueError(f"block {block} is not findable: it cannot be pinned")
        self._order.pin(block)

    def unpin(self, block: int) -> None:
        """Ends one pin of a block; does nothing where it is not pinned."""
        self._order.unpin(block)
        if block in self._order and not self._order.is_pinned(block) and not self._is_within(block):
            self._give_back(block)

    def is_pinned(self, block: int) -> bool:
        """Tells whether the block stays whatever happens."""
        return self._order.is_pinned(block)

    def may_be_evicted(self, block: int) -> bool:
        """Tells whether the block is one of those that an allocation could get by eviction."""
        return block in self._order and not self._order.is_pinned(block)

    def is_findable(self, block: int) -> bool:
        """Tells whether the prefix index knows the block."""
        return block in self._findable

    def references(self, block: int) -> int:
        """Returns how many hold a block; 0 for cached and free ones."""
        return self._references.get(block, 0)

    def is_private(self, block: int) -> bool:
        """Tells whether only one holds the block, and it need not stay when that one is gone."""
        return self._references.get(block) == 1 and not self._order.is_pinned(block)

    def evict_cached(self, n: int | None = None) -> int:
        """Frees the ``n`` least recently used cached blocks (all by default), but pinned ones, and returns how many were freed."""
        count = self._order.evictable if n is None else min(n, self._order.evictable)
        for _ in range(count):
            self._give_back(self._order.oldest())
        return count

    def resize(self, capacity: int) -> None:
        """Changes the limit. Blocks beyond it that are cached are evicted, and those that are held are gone for good when their last holder
        leaves; pinned ones, when they are not pinned any more.
        """
        before = self.capacity
        self._order.resize(capacity)
        self._space.sizes.resize(capacity)
        for arena in self._space.sizes:
            self._retire(self._space.sizes.beyond(arena))
            self._restore(arena, before)

    @property
    def has_idle(self) -> bool:
        """Tells whether more memory lies idle than may."""
        return self._space.has_idle(self._in_use)

    def grow_ahead(self) -> None:
        """Asks for more memory before what there is runs out."""
        self._space.grow_ahead(self._in_use, self._references)

    def trim(self) -> None:
        """Gives up blocks at the ends of arenas, where there are more than there may be, or more lie idle than may. Nothing else makes an
        arena smaller: what was moved away from there since is still to be copied.
        """
        self._space.shrink_to_capacity(self._order.users)
        if self.has_idle:
            self._space.shrink(self._space.sizes.wished(self._in_use))

    def shrink(self) -> None:
        """Gives up all free blocks at the ends of arenas, where nothing is asked for."""
        self._space.shrink(self._in_use)

    def gather(self) -> tuple[list[int], list[int]]:
        """Moves cached blocks to where they would lie if nothing lay idle before them, so that ends of arenas are free. Returns the blocks
        and where what they hold is to be copied, before anything is allocated.
        """
        front = self._space.sizes.first(self._in_use)
        sources = sorted(block for block in self._order if self._is_within(block) and not any(block in blocks for blocks in front))
        targets = self._space.free_in(front, len(sources))
        sources = sources[: len(targets)]
        moved = dict(zip(sources, targets, strict=True))
        self._space.exchange(sources, targets)
        self._order.move(moved)
        self._findable = {moved.get(block, block) for block in self._findable}
        return sources, targets

    def check_integrity(self) -> None:
        """Raises ``AssertionError`` unless used + cached + free = total and every count agrees. It costs O(pool), and is for tests."""
        sizes, extents = self._space.sizes, self._space.free
        everything = {block for arena in sizes for block in range(self.addresses.blocks(arena).start, sizes.end(arena))}
        free = [block for run in extents.ranges() for block in run]
        used, cached = set(self._references), set(self._order)
        retired = {block for block in everything - used - cached if not self._is_within(block)}
        assert len(free) == len(set(free)) == len(extents), "free blocks are counted wrongly"
        assert set(free) | used | cached | retired == everything, "a block is lost"
        assert not used & cached, "a cached block is held"
        assert not (used | cached) & set(free), "a held block is free"
        assert cached <= self._findable <= used | cached, "findable blocks are neither used nor cached"
        assert all(held > 0 for held in self._references.values()), "a used block has no holder"
        assert sum(self._references.values()) == self._reference_sum, "references are counted wrongly"
        assert sum(held > 1 for held in self._references.values()) == self._shared, "shared blocks are counted wrongly"
        assert set(self._order.users) == used | cached, "a block is charged to nobody, or a free one to somebody"
        self._order.check_integrity()

    @property
    def _in_use(self) -> int:
        """Returns how many blocks hold something."""
        return len(self._references) + len(self._order)

    def _begin(self, capacity: int) -> None:
        self._space = ArenaSpace(self.addresses, capacity, self._spare)
        self._references, self._findable = {}, set()
        self._order.begin_anew()
        self._shared = 0
        self._reference_sum = 0

    def _take(self, n: int, after: int | None, who: str) -> list[range]:
        """Takes ``n`` of the blocks that are free or can be, in as few ranges as can be found quickly. Where free ones would be many
        pieces, cached ones make place for one: of those that were not used for long, not always the very least recently used.
        """
        pieces, space, free = list[range](), self._space, self._space.free
        while n:
            piece = min(n, self.addresses.arena_blocks)
            space.grow_behind(after, n, self._in_use)
            if free.largest >= piece or (after is not None and free.follow(after) >= n):
                taken = free.take(piece, after)
            elif space.grow(piece, n, self._in_use):
                continue
            elif space.sizes.room or not self._order.evictable:
                taken = free.take(n, after)
            else:
                taken = self._evicted_for(n, after, who)
            pieces += [self._held(run, who) for run in taken]
            n, after = n - sum(map(len, taken)), pieces[-1][-1]
        return pieces

    def _evicted_for(self, n: int, after: int | None, who: str) -> list[range]:
        """Takes up to ``n`` blocks that are cached, and free ones between them; free ones alone while nobody has more than is his."""
        turn = self._order.turn(who, n)
        if not turn.is_due and len(self._space.free):
            return self._space.free.take(min(n, len(self._space.free)), after)
        return [self._emptied(self._behind(after, n, turn) if turn.most >= n else range(0), turn)]

    def _emptied(self, piece: range, turn: Turn) -> range:
        """Evicts what is cached there, or where it had best be whose turn it is, the least recently used first, and takes it."""
        piece = piece or self._old_piece(turn.most, turn)
        cached = [block for block in piece if block in self._order]
        for block in sorted(cached, key=lambda block: self._order.used_at(block) or 0):
            self._give_back(block)
        self._space.free.cut(piece)
        return piece

    def _held(self, blocks: range, who: str) -> range:
        """Gives the blocks one reference each."""
        for block in blocks:
            self._references[block] = 1
            self._order.use(block, who)
        self._reference_sum += len(blocks)
        return blocks

    def _behind(self, after: int | None, most: int, turn: Turn | None) -> range:
        """Returns the blocks right after ``after`` that may be taken."""
        if after is None or self.addresses.is_first(after + 1):
            return range(0)
        return self._open(after + 1, most, turn)

    def _open(self, start: int, most: int, turn: Turn | None) -> range:
        """Returns up to ``most`` blocks from ``start`` on, of its arena, that are free or old."""
        stop, end = start, min(start + most, self._space.sizes.end(self.addresses.arena(start)))
        while stop < end and self._may_go(stop, turn):
            stop += 1
        return range(start, stop)

    def _old_piece(self, n: int, turn: Turn) -> range:
        """Returns ``n`` blocks that are free or old around one of the least recently used, or the longest range of some that are less."""
        best, seen = range(0), 0
        for block in turn:
            if block in best or self._order.is_shared(block):
                continue
            first, lowest = block, self.addresses.around(block).start
            while first > lowest and block - first < n - 1 and self._may_go(first - 1, turn):
                first -= 1
            piece = range(first, self._open(block, n, turn).stop)
            if len(piece) >= n:
                return self._oldest(piece, block, n)
            best = max(best, piece, key=len)
            seen += 1
            if seen == _LOOKED_AT:
                break
        return best[:n]

    def _oldest(self, piece: range, block: int, n: int) -> range:
        """Returns, of the ranges of ``n`` blocks in ``piece`` that hold ``block``, the one whose newest block is oldest."""
        used = [self._order.used_at(one) or 0 for one in piece]
        at = block - piece.start
        before = list(accumulate(reversed(used[: at + 1]), max))  # the newest of so many blocks up to ``block``
        behind = list(accumulate(used[at:], max))
        left = range(max(0, n - len(behind)), min(n, at + 1))
        best = min(left, key=lambda count: max(before[count], behind[n - 1 - count]))
        return range(block - best, block - best + n)

    def _may_go(self, block: int, turn: Turn | None) -> bool:
        """Tells whether the block is free, or cached and old; without a turn nothing that is cached may go."""
        if block in self._references or not self._is_within(block):
            return False
        return block not in self._order if turn is None else turn.may_go(block)

    def _give_back(self, block: int) -> None:
        self._order.forget(block)
        if block in self._findable:
            self._findable.remove(block)
            self.evicted += 1
            self._on_evict(block)
        if self._is_within(block):
            self._space.free.add(block, block + 1)

    def _is_within(self, block: int) -> bool:
        """Tells whether the block may be handed out under the present limit."""
        return block < self.capacity

    def _retire(self, blocks: range) -> None:
        """Takes blocks beyond the limit out of what can be had."""
        for block in blocks:
            if self.may_be_evicted(block):
                self._give_back(block)
        self._space.free.remove(blocks)

    def _restore(self, arena: int, before: int) -> None:
        """Frees the unheld blocks of an arena that were beyond the limit ``before`` and are within it again."""
        for block in range(max(before, self.addresses.blocks(arena).start), min(self.capacity, self._space.sizes.end(arena))):
            if block not in self._order.users:
                self._space.free.add(block, block + 1)
