"""All the scheduler sees of the cache: who may start with what, who may grow, who is done.

A sequence's blocks are registered in the prefix index as soon as they are full and computed, during prefill, so
that the next request with the same beginning finds them. What is still being computed is announced: a request
whose next block another one is computing can wait for it instead of computing it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mlxd.types import CacheOutcome
from mlxd.worker.kv.block_pool import BlockPool, PoolCounts
from mlxd.worker.kv.block_table import BlockTable
from mlxd.worker.kv.prefix_index import BlockKey, Match, PrefixIndex


@dataclass
class _Holding:
    """One sequence's part of the cache. ``digests[i]`` names its block ``i`` once that is computed and full."""

    table: BlockTable
    parent: bytes  # digest of the last registered block, or the root
    registered: int = 0  # full blocks whose digest is known
    announced: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class Lookup:
    """What the cache has of a prompt. ``computing`` names the sequence that computes the next block now."""

    match: Match
    cached_tokens: int
    outcome: CacheOutcome
    computing: str | None = None


class Manager:
    """Blocks of ``block_size`` tokens for sequences named by id."""

    def __init__(self, *, block_size: int, arena_blocks: int, max_arenas: int, growth_blocks: int = 4) -> None:
        self.block_size = block_size
        self._growth_blocks = growth_blocks
        self._index = PrefixIndex()
        self._pool = BlockPool(arena_blocks=arena_blocks, max_arenas=max_arenas, on_evict=self._index.forget)
        self._holdings: dict[str, _Holding] = {}
        self._computing: dict[bytes, str] = {}  # digest of a prompt block that is not computed yet -> by whom

    @property
    def pool(self) -> BlockPool:
        """For counts, arenas and resizing."""
        return self._pool

    def counts(self) -> PoolCounts:
        """See ``BlockPool.counts``."""
        return self._pool.counts()

    def blocks_for(self, tokens: int) -> int:
        """Blocks that hold so many tokens."""
        return -(-tokens // self.block_size)

    def lookup(self, root: bytes, prompt: Sequence[int], extra: Sequence[tuple[bytes, ...]] = ()) -> Lookup:
        """The longest cached beginning of ``prompt`` in whole blocks, less than the whole: the last token is always
        computed, for its logits are needed. ``hit``: every full block that may be used was found.
        """
        usable = (len(prompt) - 1) // self.block_size
        keys = self._keys(prompt, extra, usable)
        match = self._index.match(root, keys)
        found = len(match.blocks)
        computing = None
        if found < usable:
            computing = self._computing.get(BlockKey(match.digest, *keys[found]).digest())
        return Lookup(match, found * self.block_size, _outcome(found, usable), computing)

    def open(self, sequence: str, prompt: Sequence[int], lookup: Lookup, extra: Sequence[tuple[bytes, ...]] = ()) -> None:
        """Give ``sequence`` the blocks of ``lookup`` (made just now) and announce what it is going to compute."""
        if sequence in self._holdings:
            raise ValueError(f"sequence {sequence} holds blocks already")
        holding = _Holding(BlockTable(self._pool.arena_blocks), lookup.match.digest, len(lookup.match.blocks))
        for block in lookup.match.blocks:
            self._pool.retain(block)
            holding.table.append(block)
        self._holdings[sequence] = holding
        parent = lookup.match.digest
        for tokens, more in self._keys(prompt, extra, len(prompt) // self.block_size)[holding.registered :]:
            parent = BlockKey(parent, tokens, more).digest()
            if self._computing.setdefault(parent, sequence) == sequence:
                holding.announced.append(parent)

    def reserve(self, sequence: str, tokens: int, *, growing: bool = False) -> bool:
        """Make room for ``tokens`` tokens in all. ``growing`` takes a few blocks more where they are free, so that
        sequences that decode side by side do not interleave. False: not now, and nothing has changed.
        """
        table = self._holdings[sequence].table
        need = self.blocks_for(tokens) - len(table)
        if need <= 0:
            return True
        spare = self._pool.counts().free - need
        ahead = min(self._growth_blocks - 1, spare) if growing and spare > 0 else 0
        blocks = self._pool.allocate(need + ahead, table.last)
        if blocks is None:
            return False
        table.extend(blocks)
        return True

    def commit(self, sequence: str, tokens: Sequence[int], computed: int, extra: Sequence[tuple[bytes, ...]] = ()) -> None:
        """The first ``computed`` of ``tokens`` have keys and values now: register the blocks that became full."""
        holding = self._holdings[sequence]
        full = computed // self.block_size
        for index in range(holding.registered, full):
            start = index * self.block_size
            more = extra[index] if index < len(extra) else ()
            block = holding.table.block_at(index)
            digest, known = self._index.register(BlockKey(holding.parent, tuple(tokens[start : start + self.block_size]), more), block)
            if known:
                self._pool.make_findable(block)
            holding.parent = digest
            self._withdraw(digest, sequence)
        holding.registered = max(holding.registered, full)

    def runs(self, sequence: str) -> tuple[range, ...]:
        """The blocks of a sequence, run by run."""
        return self._holdings[sequence].table.runs

    def move_private(self, sequence: str) -> tuple[list[int], list[int]] | None:
        """Move the blocks that only this sequence holds to fresh ones in fewer runs; (from, to) for the runtime to copy.
        None when it would not help or there is no room now. Shared and registered blocks stay where they are.
        """
        holding = self._holdings[sequence]
        blocks = list(holding.table)
        first = len(blocks)
        while first and self._pool.references(blocks[first - 1]) == 1 and not self._pool.is_findable(blocks[first - 1]):
            first -= 1
        moving = blocks[first:]
        fresh = self._pool.allocate(len(moving)) if len(moving) > 1 else None
        if fresh is None:
            return None
        target = [block for run in fresh for block in run]
        holding.table.truncate(first)
        holding.table.extend(fresh)
        for block in reversed(moving):
            self._pool.release(block)
        return moving, target

    def close(self, sequence: str) -> None:
        """The sequence is done, preempted or aborted. Its registered blocks stay findable; tails go first when evicted."""
        holding = self._holdings.pop(sequence)
        for block in reversed(list(holding.table)):
            self._pool.release(block)
        for digest in holding.announced:
            self._withdraw(digest, sequence)

    def evict_cached(self) -> int:
        """Drop every block that nobody holds; how many."""
        freed = self._pool.evict_cached()
        self._pool.trim()
        return freed

    def check_integrity(self) -> None:
        """Pool, index and tables agree. O(everything): for tests."""
        self._pool.check_integrity()
        self._index.check_integrity()
        held: dict[int, int] = {}
        for holding in self._holdings.values():
            for block in holding.table:
                held[block] = held.get(block, 0) + 1
        assert all(self._pool.references(block) == count for block, count in held.items()), "references differ from the tables"
        assert self._pool.counts().used == len(held), "a block is held by no table"
        assert set(self._computing.values()) <= set(self._holdings), "a closed sequence is still announced"

    def _keys(
        self, tokens: Sequence[int], extra: Sequence[tuple[bytes, ...]], blocks: int
    ) -> list[tuple[tuple[int, ...], tuple[bytes, ...]]]:
        size = self.block_size
        return [(tuple(tokens[i * size : (i + 1) * size]), extra[i] if i < len(extra) else ()) for i in range(blocks)]

    def _withdraw(self, digest: bytes, sequence: str) -> None:
        if self._computing.get(digest) == sequence:
            del self._computing[digest]


def _outcome(found: int, usable: int) -> CacheOutcome:
    if not found:
        return CacheOutcome.MISS
    return CacheOutcome.HIT if found == usable else CacheOutcome.PREFIX_HIT
