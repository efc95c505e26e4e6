"""All the scheduler sees of the cache: who may start with what, who may grow, who is done.

A sequence's blocks are registered in the prefix index as soon as they are full and computed, during prefill, so
that the next request with the same beginning finds them. What is still being computed is announced: a request
whose next block another one is computing can wait for it instead of computing it again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import msgspec

from mlxd.types import CacheOutcome
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.block_pool import BlockPool, PoolCounts
from mlxd.worker.kv.block_table import BlockTable, Run
from mlxd.worker.kv.prefix_index import PrefixIndex
from mlxd.worker.kv.state_snapshots import StateSnapshots, Taken
from mlxd.worker.kv.transfers import Spill

_LARGEST_PIECE = 32  # blocks taken ahead where a new piece is begun
_CAUTION = 4  # only one in so many of the blocks that can be had is taken for anything but need


@dataclass(frozen=True)
class _Snapshot:
    """A snapshot that is being taken."""

    id: int
    taken: Taken


@dataclass
class _Holding:
    """One sequence's part of the cache."""

    chain: BlockChain
    table: BlockTable
    prompt_blocks: int  # full blocks of the prompt
    registered: int  # blocks at the head of the table that are full, computed and registered
    needed: int = 0  # blocks of the table that are asked for; those behind are taken ahead
    announced: list[bytes] = field(default_factory=list)
    snapshots: dict[int, _Snapshot] = field(default_factory=dict)  # that are being taken, by the index of their block
    newest_snapshot: int | None = None  # the block of the last one taken while decoding
    is_trusted: bool = True  # what it computes may be found by others


@dataclass(frozen=True)
class Lookup:
    """What the cache has of a prompt: ``blocks`` to begin with. ``computing`` names what this one needs next and other sequences compute
    now: the last of some blocks, or a recurrent state. Of ``known_tokens`` keys and values are cached, but not always a recurrent state.
    """

    blocks: tuple[int, ...]
    cached_tokens: int
    outcome: CacheOutcome
    computing: bytes | None = None
    known_tokens: int = 0


@dataclass(frozen=True)
class CachedBlock:
    """A block that the prefix cache would hand out, and the snapshot of recurrent state at its end, if it has one."""

    block: int
    snapshot: int | None = None


@dataclass(frozen=True)
class Rewound:
    """What is left of a sequence: ``computed`` tokens still have keys and values. With recurrent state it goes on with snapshot ``resume``,
    or, at its beginning, with none.
    """

    computed: int
    resume: int | None = None


class Move(msgspec.Struct, frozen=True):
    """A copy of the content of blocks ``source`` to blocks ``target``, pairwise."""

    source: tuple[int, ...]
    target: tuple[int, ...]


class Manager:
    """The cache as blocks of ``block_size`` tokens for sequences named by id. ``snapshots`` are of a model with recurrent state, None for
    one without.
    """

    def __init__(
        self, *, block_size: int, arena_blocks: int, max_arenas: int, growth_blocks: int = 4, snapshots: StateSnapshots | None = None
    ) -> None:
        self.block_size = block_size
        self.snapshots = snapshots
        self._growth_blocks = growth_blocks
        self._index = PrefixIndex()
        self._pool = BlockPool(arena_blocks=arena_blocks, max_arenas=max_arenas, on_evict=self._evicted)
        self._holdings: dict[str, _Holding] = {}
        self._computing: dict[bytes, str] = {}  # digest of a prompt block that is not computed yet -> by whom

    @property
    def pool(self) -> BlockPool:
        """Returns the pool of blocks, for its counts, its arenas and its size."""
        return self._pool

    def counts(self) -> PoolCounts:
        """Returns how many blocks are in each state, in constant time."""
        return self._pool.counts()

    def blocks_for(self, tokens: int) -> int:
        """Returns how many blocks hold so many tokens."""
        return -(-tokens // self.block_size)

    def lookup(self, chain: BlockChain, tokens: Sequence[int]) -> Lookup:
        """Finds the longest cached beginning of ``tokens``, whose chain is ``chain``, in whole blocks, less than the whole: the last token
        is always computed, for its logits are needed. The outcome is ``hit`` where every full block that may be used was found.
        """
        chain.extend(tokens)
        usable = (len(tokens) - 1) // self.block_size
        found = self._index.match(chain, usable)
        coming = list(takewhile(self._computing.__contains__, chain.digests[len(found) : usable]))
        known = len(found)
        if self.snapshots is not None:
            found = found[: self.snapshots.deepest(found)]
            if len(found) < known and not coming:
                coming = [name for name in [_state_name(chain.digests[known - 1])] if name in self._computing]
        awaited = coming[-1] if coming else None
        return Lookup(tuple(found), len(found) * self.block_size, _outcome(len(found), usable), awaited, known * self.block_size)

    def is_computing(self, digest: bytes) -> bool:
        """Tells whether some sequence still computes the block of this name."""
        return digest in self._computing

    def open(self, sequence: str, chain: BlockChain, lookup: Lookup) -> int | None:
        """Gives ``sequence`` the blocks of ``lookup`` (made just now) and announces what it is going to compute. Returns the snapshot its
        recurrent state begins with, if it has any. Raises ``ValueError`` for a sequence that holds blocks already.
        """
        if sequence in self._holdings:
            raise ValueError(f"sequence {sequence} holds blocks already")
        holding = _Holding(chain, BlockTable(self._pool.addresses), prompt_blocks=len(chain), registered=len(lookup.blocks))
        for block in lookup.blocks:
            self._pool.retain(block)
            holding.table.append(block)
        self._holdings[sequence] = holding
        known = lookup.known_tokens // self.block_size
        states = [_state_name(chain.digests[known - 1])] if known > len(lookup.blocks) else []
        for name in (*chain.digests[holding.registered :], *states):
            if self._computing.setdefault(name, sequence) == sequence:
                holding.announced.append(name)
        return self.snapshots.use(lookup.blocks[-1]) if self.snapshots is not None and lookup.blocks else None

    def reserve(self, sequence: str, tokens: int, *, growing: bool = False) -> bool:
        """Makes room for ``tokens`` tokens in all. With ``growing`` it takes a few blocks more where there is room, so that sequences that
        decode side by side do not interleave. Returns False where there is no room now; the sequence has got nothing then.
        """
        holding = self._holdings[sequence]
        holding.needed, table = max(holding.needed, self.blocks_for(tokens)), holding.table
        need = self.blocks_for(tokens) - len(table)
        if need <= 0:
            return True
        ahead = self._ahead(table, need) if growing else 0
        blocks = self._pool.allocate(need + ahead, table.last)
        if blocks is None and self._give_back_ahead():
            blocks = self._pool.allocate(need, table.last)
        if blocks is None:
            return False
        table.extend(blocks)
        return True

    def plan_snapshot(self, sequence: str, computed: int, taken: Taken = Taken.PROMPT) -> int | None:
        """Returns the id under which to keep the recurrent state after ``computed`` tokens; None unless a block ends there."""
        if self.snapshots is None or computed % self.block_size or not self._holdings[sequence].is_trusted:
            return None
        snapshot = self.snapshots.make()
        self._holdings[sequence].snapshots[computed // self.block_size - 1] = _Snapshot(snapshot, taken)
        return snapshot

    def commit(self, sequence: str, tokens: Sequence[int], computed: int) -> None:
        """Registers the blocks that became full: the first ``computed`` of ``tokens``, all of them verified, have keys and values now, or
        will have when the step that is being planned is done.
        """
        holding = self._holdings[sequence]
        full = computed // self.block_size
        if full <= holding.registered or not holding.is_trusted:
            return
        holding.chain.extend(tokens)
        for index in range(holding.registered, full):
            digest, block = holding.chain.digests[index], holding.table.block_at(index)
            known = self._index.register(digest, holding.chain.keys[index], block)
            if known == block:
                self._pool.make_findable(block)
            self._keep_snapshot(holding, index, known, own=known == block)
            self._withdraw(digest, sequence)
            self._withdraw(_state_name(digest), sequence)
        holding.registered = full

    def cached(self, chain: BlockChain) -> tuple[CachedBlock, ...]:
        """Returns the blocks under which others would find the beginning of ``chain``."""
        snapshots = self.snapshots
        found = self._index.match(chain, len(chain))
        return tuple(CachedBlock(block, None if snapshots is None else snapshots.of(block)) for block in found)

    def distrust(self, blocks: Collection[int]) -> None:
        """Drops ``blocks`` that hold what is no number: nobody finds them any more, nor anything that was computed from them. A sequence
        that holds one registers nothing more.
        """
        gone = self._index.with_descendants(blocks)
        for sequence, holding in self._holdings.items():
            if not gone.isdisjoint(holding.table):
                holding.is_trusted = False
                for digest in holding.announced:
                    self._withdraw(digest, sequence)
        for block in gone:
            self._forget(block)
            self._pool.forget(block)

    def rewind(self, sequence: str, tokens: int) -> Rewound:
        """Forgets the keys, values and states behind the first ``tokens`` of a sequence that are fewer than it has computed, as of guesses
        that were rejected, and gives up the blocks that hold nothing else, but a few taken ahead. What was committed stays findable.

        It may go back further: to where a committed block begins, for others may find that one, so it is never written again; and to a
        snapshot, where the model has recurrent state.
        """
        holding = self._holdings[sequence]
        if tokens < holding.registered * self.block_size:
            tokens -= tokens % self.block_size
        resume = None
        if self.snapshots is not None:
            blocks = list(holding.table)[: min(tokens // self.block_size, holding.registered)]
            depth = self.snapshots.deepest(blocks)
            tokens, resume = depth * self.block_size, self.snapshots.use(blocks[depth - 1]) if depth else None
        self._cut(holding, tokens)
        return Rewound(tokens, resume)

    def runs(self, sequence: str) -> tuple[Run, ...]:
        """Returns the blocks of a sequence, run by run."""
        return self._holdings[sequence].table.runs

    def held(self, sequence: str) -> int:
        """Returns how many blocks a sequence holds, shared ones included."""
        return len(self._holdings[sequence].table)

    def move_private(self, sequence: str, most: int = 128) -> Move | None:
        """Moves the blocks at the end of a sequence that nobody else holds, ``most`` at a time, to fresh ones in fewer runs, for the
        runtime to copy. Whoever finds them in the index finds them at their new place. Returns None when there is no room now, or
        nothing to gain.
        """
        holding = self._holdings[sequence]
        blocks = list(holding.table)
        first = len(blocks)
        while first > max(0, len(blocks) - most) and self._pool.references(blocks[first - 1]) == 1:
            first -= 1
        moving = blocks[first:]
        if len(moving) > max(self._pool.free, self._pool.available // _CAUTION):  # little is evicted for this
            return None
        fresh = self._pool.allocate(len(moving)) or []
        target = [block for run in fresh for block in run]
        if len(fresh) >= _runs(moving):
            for block in target:
                self._pool.release(block)
            return None
        for block, to in zip(moving, target, strict=True):
            if self._pool.is_findable(block):
                self._pool.hand_over(block, to)
                self._index.move(block, to)
                if self.snapshots is not None:
                    self.snapshots.move(block, to)
            if holding.newest_snapshot == block:
                holding.newest_snapshot = to
        holding.table.truncate(first)
        holding.table.extend(fresh)
        for block in reversed(moving):
            self._pool.release(block)
        return Move(tuple(moving), tuple(target))

    def close(self, sequence: str) -> None:
        """Ends a sequence that is done, preempted or aborted. Its registered blocks stay findable; tails go first when evicted."""
        holding = self._holdings.pop(sequence)
        for block in reversed(list(holding.table)):
            self._pool.release(block)
        for digest in holding.announced:
            self._withdraw(digest, sequence)
        for snapshot in holding.snapshots.values():
            self._discard(snapshot.id)

    def evict_cached(self) -> int:
        """Drops every block that nobody holds, and returns how many."""
        freed = self._pool.evict_cached()
        self._pool.trim()
        return freed

    def reset(self) -> None:
        """Forgets all sequences and blocks, in whatever state a fault has left them."""
        self._index, self._holdings, self._computing = PrefixIndex(), {}, {}
        self._pool.reset()
        if self.snapshots is not None:
            self.snapshots.reset()

    def resize(self, *, max_arenas: int, snapshots: int) -> None:
        """Changes the limits. What lies beyond them goes at once, or as soon as nobody holds it."""
        self._pool.resize(max_arenas)
        if self.snapshots is not None:
            self.snapshots.resize(snapshots)

    def check_integrity(self) -> None:
        """Raises ``AssertionError`` unless pool, index and tables agree. It costs O(everything), and is for tests."""
        self._pool.check_integrity()
        self._index.check_integrity()
        if self.snapshots is not None:
            self.snapshots.check_integrity()
        held: dict[int, int] = {}
        for holding in self._holdings.values():
            for block in holding.table:
                held[block] = held.get(block, 0) + 1
        assert all(self._pool.references(block) == count for block, count in held.items()), "references differ from the tables"
        assert self._pool.counts().used == len(held), "a block is held by no table"
        assert set(self._computing.values()) <= set(self._holdings), "a closed sequence is still announced"

    def _ahead(self, table: BlockTable, need: int) -> int:
        """Returns how many blocks to take beside those that are needed now.

        They are a few, or where a new piece must be begun as many as make it worth it.
        """
        ahead, spare = self._growth_blocks - 1, self._pool.available - need
        if not self._pool.continues(table.last, need + ahead):
            ahead, spare = max(ahead, min(len(table) // 2, _LARGEST_PIECE)), min(spare, self._pool.available // _CAUTION)
        return max(0, min(ahead, spare))

    def _give_back_ahead(self) -> bool:
        """Frees what was taken ahead and is not asked for yet. Returns False where that was nothing."""
        given_back = 0
        for holding in self._holdings.values():
            for block in reversed(holding.table.truncate(max(holding.needed, holding.registered))):
                self._pool.release(block)
                given_back += 1
        return given_back > 0

    def _cut(self, holding: _Holding, tokens: int) -> None:
        kept = holding.needed = self.blocks_for(tokens)
        ahead = self._growth_blocks - 1 if kept >= holding.registered else 0  # a sequence that grows has taken these again in no time
        cut = holding.table.truncate(kept + ahead)
        for block in reversed(cut):
            self._pool.release(block)
        holding.registered = min(holding.registered, kept)
        holding.chain.truncate(tokens // self.block_size)  # a block that is cut through may go on otherwise
        if holding.newest_snapshot in cut:
            holding.newest_snapshot = None
        for index in [index for index in holding.snapshots if (index + 1) * self.block_size > tokens]:
            self._discard(holding.snapshots.pop(index).id)

    def _evicted(self, block: int) -> None:
        """Takes in that a block that others could have found is to be given to somebody else. What it holds is there until then."""
        self._forget(block)

    def _forget(self, block: int) -> Spill:
        if self.snapshots is not None:
            self.snapshots.drop(block)
        return self._index.forget(block)

    def _keep_snapshot(self, holding: _Holding, index: int, block: int, *, own: bool) -> None:
        """Gives the snapshot after block ``index`` to ``block``, the one that is known by this name. Of those taken while decoding only the
        newest is kept: the next turn of a conversation begins after it.
        """
        snapshot = holding.snapshots.pop(index, None)
        if snapshot is None or self.snapshots is None:
            return
        is_prompt = index < holding.prompt_blocks
        self.snapshots.attach(snapshot.id, block, snapshot.taken if is_prompt else Taken.ANSWER)
        if own and not is_prompt:
            if holding.newest_snapshot is not None:
                self.snapshots.drop(holding.newest_snapshot)
            holding.newest_snapshot = block

    def _discard(self, snapshot: int) -> None:
        if self.snapshots is not None:
            self.snapshots.discard(snapshot)

    def _withdraw(self, digest: bytes, sequence: str) -> None:
        if self._computing.get(digest) == sequence:
            del self._computing[digest]


def _outcome(found: int, usable: int) -> CacheOutcome:
    if not found:
        return CacheOutcome.MISS
    return CacheOutcome.HIT if found == usable else CacheOutcome.PREFIX_HIT


def _state_name(digest: bytes) -> bytes:
    """Returns the name of the recurrent state at the end of a block."""
    return b"state" + digest


def _runs(blocks: Sequence[int]) -> int:
    """Returns how many maximal ranges of consecutive blocks there are."""
    return sum(position == 0 or blocks[position - 1] + 1 != block for position, block in enumerate(blocks))
