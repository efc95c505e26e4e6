"""All the scheduler sees of the cache: who may start with what, who may grow, who is done.

A sequence's blocks are registered in the prefix index as soon as they are full and computed, during prefill, so
that the next request with the same beginning finds them. What is still being computed is announced: a request
whose next block another one is computing can wait for it instead of computing it again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from mlxd.worker.kv.announcements import Announcements, state_name
from mlxd.worker.kv.block_chain import BlockChain, BlockKey
from mlxd.worker.kv.block_pool import BlockPool, PoolCounts
from mlxd.worker.kv.block_table import Run
from mlxd.worker.kv.disk_side import DiskSide
from mlxd.worker.kv.layer_group import LayerGroup
from mlxd.worker.kv.lookup import CachedBlock, Lookup, Rewound, outcome
from mlxd.worker.kv.move import Move
from mlxd.worker.kv.recall import Recalled
from mlxd.worker.kv.state_snapshots import StateSnapshots, Taken
from mlxd.worker.kv.transfers import Fetch


@dataclass(frozen=True)
class _Snapshot:
    """A snapshot that is being taken."""

    id: int
    taken: Taken


@dataclass
class _Holding:
    """One sequence's part of the cache."""

    chain: BlockChain
    prompt_blocks: int  # full blocks of the prompt
    registered: int  # blocks at the head of the table that are full, computed and registered
    snapshots: dict[int, _Snapshot] = field(default_factory=dict)  # that are being taken, by the index of their block
    newest_snapshot: int | None = None  # the block of the last one taken while decoding
    is_trusted: bool = True  # what it computes may be found by others


class Manager:
    """The cache as blocks of ``block_size`` tokens for sequences named by id. ``snapshots`` are of a model with recurrent state, None for
    one without; what leaves memory goes to ``disk``, if there is one.
    """

    def __init__(  # noqa: PLR0913 - what the cache is made of
        self,
        *,
        block_size: int,
        arena_blocks: int,
        max_arenas: int,
        growth_blocks: int = 4,
        snapshots: StateSnapshots | None = None,
        disk: DiskSide | None = None,
    ) -> None:
        self.block_size = block_size
        self.snapshots = snapshots
        self._disk = disk
        self._layers = LayerGroup(
            arena_blocks=arena_blocks, max_arenas=max_arenas, growth_blocks=growth_blocks, forgotten=self._drop_snapshot, disk=disk
        )
        self._holdings: dict[str, _Holding] = {}
        self._computing = Announcements()

    @property
    def pool(self) -> BlockPool:
        """Returns the pool of blocks, for its counts, its arenas and its size."""
        return self._layers.pool

    def counts(self) -> PoolCounts:
        """Returns how many blocks are in each state, in constant time."""
        return self.pool.counts()

    def blocks_for(self, tokens: int) -> int:
        """Returns how many blocks hold so many tokens."""
        return -(-tokens // self.block_size)

    def lookup(self, chain: BlockChain, tokens: Sequence[int]) -> Lookup:
        """Finds the longest cached beginning of ``tokens``, whose chain is ``chain``, in whole blocks, less than the whole: the last token
        is always computed, for its logits are needed. The outcome is ``hit`` where every full block that may be used was found.
        """
        chain.extend(tokens)
        usable = (len(tokens) - 1) // self.block_size
        found = self._layers.index.match(chain, usable)
        awaited, known = self._computing.last_of(chain.digests[len(found) : usable]), len(found)
        if self.snapshots is not None:
            found = found[: self.snapshots.deepest(found)]
            if len(found) < known and awaited is None:
                awaited = self._computing.last_of([state_name(chain.digests[known - 1])])
        return Lookup(tuple(found), len(found) * self.block_size, outcome(len(found), usable), awaited, known * self.block_size)

    def is_computing(self, digest: bytes) -> bool:
        """Tells whether some sequence still computes the block of this name."""
        return digest in self._computing

    def open(self, sequence: str, chain: BlockChain, lookup: Lookup) -> int | None:
        """Gives ``sequence`` the blocks of ``lookup`` (made just now) and announces what it is going to compute. Returns the snapshot its
        recurrent state begins with, if it has any. Raises ``ValueError`` for a sequence that holds blocks already.
        """
        if sequence in self._holdings:
            raise ValueError(f"sequence {sequence} holds blocks already")
        self._layers.open(sequence, lookup.blocks)
        self._holdings[sequence] = _Holding(chain, prompt_blocks=len(chain), registered=len(lookup.blocks))
        known = lookup.known_tokens // self.block_size
        states = [state_name(chain.digests[known - 1])] if known > len(lookup.blocks) else []
        self._computing.announce(sequence, (*chain.digests[len(lookup.blocks) :], *states))
        return self.snapshots.use(lookup.blocks[-1]) if self.snapshots is not None and lookup.blocks else None

    def reserve(self, sequence: str, tokens: int, *, growing: bool = False) -> bool:
        """Makes room for ``tokens`` tokens in all. With ``growing`` it takes a few blocks more where there is room, so that sequences that
        decode side by side do not interleave. Returns False where there is no room now; the sequence has got nothing then.
        """
        return self._layers.reserve(sequence, self.blocks_for(tokens), growing=growing)

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
            digest, known = holding.chain.digests[index], self._layers.register(sequence, holding.chain, index)
            self._keep_snapshot(holding, index, known, own=known == self._layers.table(sequence).block_at(index))
            self._computing.withdraw(sequence, digest)
            self._computing.withdraw(sequence, state_name(digest))
        holding.registered = full

    def cached(self, chain: BlockChain) -> tuple[CachedBlock, ...]:
        """Returns the blocks under which others would find the beginning of ``chain``."""
        snapshots = self.snapshots
        found = self._layers.index.match(chain, len(chain))
        return tuple(CachedBlock(block, None if snapshots is None else snapshots.of(block)) for block in found)

    def distrust(self, blocks: Collection[int]) -> None:
        """Drops ``blocks`` that hold what is no number: nobody finds them any more, nor anything that was computed from them. A sequence
        that holds one registers nothing more.
        """
        for sequence in self._layers.distrust(blocks):
            self._holdings[sequence].is_trusted = False
            self._computing.withdraw_all(sequence)

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
            blocks = list(self._layers.table(sequence))[: min(tokens // self.block_size, holding.registered)]
            depth = self.snapshots.deepest(blocks)
            tokens, resume = depth * self.block_size, self.snapshots.use(blocks[depth - 1]) if depth else None
        self._cut(sequence, tokens)
        return Rewound(tokens, resume)

    def runs(self, sequence: str) -> tuple[Run, ...]:
        """Returns the blocks of a sequence, run by run."""
        return self._layers.table(sequence).runs

    def held(self, sequence: str) -> int:
        """Returns how many blocks a sequence holds, shared ones included."""
        return self._layers.table(sequence).held

    def move_private(self, sequence: str, most: int = 128) -> Move | None:
        """Moves the blocks at the end of a sequence that nobody else holds, ``most`` at a time, to fresh ones in fewer runs, for the
        runtime to copy. Whoever finds them in the index finds them at their new place. Returns None when there is no room now, or
        nothing to gain.
        """
        move = self._layers.move_private(sequence, most)
        if move is None or self.snapshots is None:
            return move
        holding = self._holdings[sequence]
        for block, to in zip(move.source, move.target, strict=True):
            self.snapshots.move(block, to)
            if holding.newest_snapshot == block:
                holding.newest_snapshot = to
        return move

    def close(self, sequence: str) -> None:
        """Ends a sequence that is done, preempted or aborted. Its registered blocks stay findable; tails go first when evicted."""
        holding = self._holdings.pop(sequence)
        self._layers.close(sequence)
        self._computing.withdraw_all(sequence)
        for snapshot in holding.snapshots.values():
            self._discard(snapshot.id)
        if self._disk is not None:
            self._disk.closed(holding.chain, holding.registered)

    def find(self, digest: bytes, key: BlockKey) -> int | None:
        """Returns the block that others would find by a name."""
        return self._layers.index.find(digest, key)

    def restore(self, recalled: Recalled) -> Fetch | None:
        """Makes room for blocks that came from disk, which others find from now on. Returns where they are to be written; None where there
        is no room now, or nothing to write.
        """
        return None if self._disk is None else self._disk.restore(recalled, self.pool, self._layers.index)

    def evict_cached(self) -> int:
        """Drops every block that nobody holds, and returns how many."""
        freed = self.pool.evict_cached()
        self.pool.trim()
        return freed

    def reset(self) -> None:
        """Forgets all sequences and blocks, in whatever state a fault has left them."""
        self._holdings, self._computing = {}, Announcements()
        self._layers.reset()
        if self.snapshots is not None:
            self.snapshots.reset()
        if self._disk is not None:
            self._disk.reset()

    def resize(self, *, max_arenas: int, snapshots: int) -> None:
        """Changes the limits. What lies beyond them goes at once, or as soon as nobody holds it."""
        self.pool.resize(max_arenas)
        if self.snapshots is not None:
            self.snapshots.resize(snapshots)

    def check_integrity(self) -> None:
        """Raises ``AssertionError`` unless pool, index and tables agree. It costs O(everything), and is for tests."""
        self._layers.check_integrity()
        if self.snapshots is not None:
            self.snapshots.check_integrity()
        self._computing.check_integrity(self._holdings)

    def _cut(self, sequence: str, tokens: int) -> None:
        holding, kept = self._holdings[sequence], self.blocks_for(tokens)
        cut = self._layers.cut(sequence, kept, holding.registered)
        holding.registered = min(holding.registered, kept)
        holding.chain.truncate(tokens // self.block_size)  # a block that is cut through may go on otherwise
        if holding.newest_snapshot in cut:
            holding.newest_snapshot = None
        for index in [index for index in holding.snapshots if (index + 1) * self.block_size > tokens]:
            self._discard(holding.snapshots.pop(index).id)

    def _drop_snapshot(self, block: int) -> None:
        if self.snapshots is not None:
            self.snapshots.drop(block)

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
