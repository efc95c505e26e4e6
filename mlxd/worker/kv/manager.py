"""All the scheduler sees of the cache: who may start with what, who may grow, who is done.

A sequence's blocks are registered in the prefix index as soon as they are full and computed, during prefill, so
that the next request with the same beginning finds them. What is still being computed is announced: a request
whose next block another one is computing can wait for it instead of computing it again.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from mlxd.worker.kv.announcements import Announcements, rest_name
from mlxd.worker.kv.block_chain import BlockChain, BlockKey
from mlxd.worker.kv.block_pool import BlockPool, PoolCounts
from mlxd.worker.kv.block_table import Run, WindowRuns
from mlxd.worker.kv.disk_side import DiskSide
from mlxd.worker.kv.division import Division
from mlxd.worker.kv.layer_group import LayerGroup
from mlxd.worker.kv.lookup import CachedBlock, Lookup, Rewound, outcome
from mlxd.worker.kv.move import Move
from mlxd.worker.kv.pinned_blocks import PinnedBlocks
from mlxd.worker.kv.recall import Recalled
from mlxd.worker.kv.sizing import WindowSizes
from mlxd.worker.kv.state_snapshots import StateSnapshots, Taken
from mlxd.worker.kv.transfers import Fetch
from mlxd.worker.kv.window_group import WindowGroup


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
    one without; what leaves memory goes to ``disk``, if there is one. ``windows`` are of layers that see the last tokens only; all others
    are one group of layers, be there any or not: a sequence has each of its blocks there. With ``block_bytes``, one for each group, groups
    with room to spare give it to those without.
    """

    def __init__(  # noqa: PLR0913 - what the cache is made of
        self,
        *,
        block_size: int,
        arena_blocks: int,
        capacity: int,
        spare: int = 0,
        growth_blocks: int = 4,
        snapshots: StateSnapshots | None = None,
        disk: DiskSide | None = None,
        windows: Sequence[WindowSizes] = (),
        block_bytes: Sequence[int] = (),
    ) -> None:
        self.block_size = block_size
        self.snapshots = snapshots
        self._disks = (disk, *disk.beside) if disk else ()
        self._layers = LayerGroup(
            block_size=block_size,
            arena_blocks=arena_blocks,
            capacity=capacity,
            spare=spare,
            growth_blocks=growth_blocks,
            forgotten=self._drop_snapshot,
            disk=disk,
        )
        disks = self._disks[1:] or [None] * len(windows)
        self.windows = tuple(
            WindowGroup(sizes, block_size=block_size, growth_blocks=growth_blocks, disk=side)
            for sizes, side in zip(windows, disks, strict=True)
        )
        self.groups: tuple[LayerGroup, ...] = (self._layers, *self.windows)
        self.division = Division(self.groups, block_bytes) if block_bytes and windows else None
        self.pinned = PinnedBlocks(self._layers, self.windows, snapshots)
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
        depth = self._deepest(chain, found)
        if depth < known and awaited is None:
            awaited = self._computing.last_of([rest_name(chain.digests[known - 1])])
        return Lookup(
            blocks=tuple(found[:depth]),
            cached_tokens=depth * self.block_size,
            outcome=outcome(depth, usable),
            computing=awaited,
            known_tokens=known * self.block_size,
            windows=tuple(group.known(chain, depth) for group in self.windows),
        )

    def is_computing(self, digest: bytes) -> bool:
        """Tells whether some sequence still computes the block of this name."""
        return digest in self._computing

    def open(self, sequence: str, chain: BlockChain, lookup: Lookup, ends: Iterable[int] = (), who: str = "") -> int | None:
        """Gives ``sequence``, of ``who``, the blocks of ``lookup`` (made just now) and announces what it is going to compute. Behind
        ``ends``, numbers of its tokens, others may begin later on. Returns the snapshot its recurrent state begins with, if it has any.
        Raises ``ValueError`` for a sequence that holds blocks already.
        """
        if sequence in self._holdings:
            raise ValueError(f"sequence {sequence} holds blocks already")
        self._layers.open(sequence, lookup.blocks, expected=len(chain) + 1, who=who)
        for group, blocks in zip(self.windows, lookup.windows or [()] * len(self.windows), strict=True):
            group.begin(sequence, blocks, len(lookup.blocks), (*ends, lookup.known_tokens), who)
        self._holdings[sequence] = _Holding(chain, prompt_blocks=len(chain), registered=len(lookup.blocks))
        known = lookup.known_tokens // self.block_size
        rest = [rest_name(chain.digests[known - 1])] if known > len(lookup.blocks) else []
        self._computing.announce(sequence, (*chain.digests[len(lookup.blocks) :], *rest))
        return self.snapshots.use(lookup.blocks[-1]) if self.snapshots is not None and lookup.blocks else None

    def reserve(self, sequence: str, tokens: int, *, growing: bool = False) -> bool:
        """Makes room for ``tokens`` tokens in all. With ``growing`` it takes a few blocks more where there is room, so that sequences that
        decode side by side do not interleave. Returns False where there is no room now; the sequence has got nothing then.
        """
        blocks = self.blocks_for(tokens)
        if not self.windows:
            return self._layers.reserve(sequence, blocks, growing=growing)
        before = [len(group.table(sequence)) for group in self.windows]
        if all(group.reserve(sequence, blocks, growing=growing) for group in (*self.windows, self._layers)):
            return True
        for group, length in zip(self.windows, before, strict=True):
            group.give_back(sequence, length)
        return False

    def pass_by(self, sequence: str, tokens: int) -> None:
        """Gives up what no token behind the first ``tokens`` of a sequence sees. Those are computed and verified, or will be when the steps
        are done that are planned.
        """
        for group in self.windows:
            group.pass_by(sequence, tokens)

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
            digest, (known, replaced) = holding.chain.digests[index], self._layers.register(sequence, holding.chain, index)
            if replaced is not None and self.snapshots is not None:
                self.snapshots.move(replaced, known)
            self._keep_snapshot(holding, index, known, own=known == self._layers.table(sequence).block_at(index))
            for group in self.windows:
                group.offer(sequence, holding.chain, index)
            self._computing.withdraw(sequence, digest)
            self._computing.withdraw(sequence, rest_name(digest))
        holding.registered = full

    def cached(self, chain: BlockChain) -> tuple[CachedBlock, ...]:
        """Returns the blocks under which others would find the beginning of ``chain``."""
        snapshots = self.snapshots
        found = self._layers.index.match(chain, len(chain))
        return tuple(
            CachedBlock(
                block, snapshots.of(block) if snapshots is not None else None, tuple(one.find(chain, index) for one in self.windows)
            )
            for index, block in enumerate(found)
        )

    def distrust(self, blocks: Collection[int]) -> None:
        """Drops ``blocks`` that hold what is no number: nobody finds them any more, nor anything that was computed from them. A sequence
        that holds one registers nothing more.
        """
        gone = self._layers.index.names(blocks)
        for group in self.groups:
            gone = group.index.with_descendants(gone)
        for sequence in set[str]().union(*(group.distrust(gone) for group in self.groups)):
            self._holdings[sequence].is_trusted = False
            self._computing.withdraw_all(sequence)

    def rewind(self, sequence: str, tokens: int) -> Rewound:
        """Forgets the keys, values and states behind the first ``tokens`` of a sequence that are fewer than it has computed, as of guesses
        that were rejected, and gives up the blocks that hold nothing else, but a few taken ahead. What was committed stays findable.

        It may go back further: to where a committed block begins, for others may find that one, so it is never written again; to a
        snapshot, where the model has recurrent state; and to its beginning, where it has passed what a window shows.
        """
        holding = self._holdings[sequence]
        if tokens < holding.registered * self.block_size:
            tokens -= tokens % self.block_size
        if self.snapshots is not None:
            blocks = list(self._layers.table(sequence))[: min(tokens // self.block_size, holding.registered)]
            tokens = self.snapshots.deepest(blocks) * self.block_size
        if not all(group.may_rewind(sequence, tokens) for group in self.windows):
            tokens = 0
        resume = None
        if self.snapshots is not None and tokens:
            resume = self.snapshots.use(self._layers.table(sequence).block_at(tokens // self.block_size - 1))
        self._cut(sequence, tokens)
        return Rewound(tokens, resume)

    def runs(self, sequence: str) -> tuple[Run, ...]:
        """Returns the blocks of a sequence, run by run."""
        return self._layers.table(sequence).runs

    def window_runs(self, sequence: str) -> tuple[WindowRuns, ...]:
        """Returns what a sequence has in each group of layers that see a window."""
        return tuple(group.table(sequence).window_runs for group in self.windows) if self.windows else ()

    def run_counts(self, sequence: str) -> list[int]:
        """Returns in how many runs the blocks of a sequence are, in each group of layers."""
        return [len(group.table(sequence).runs) for group in self.groups]

    def move_private(self, sequence: str, group: int = 0, *, most: int = 128) -> Move | None:
        """Moves the blocks that a sequence has at its end in a group of layers, if nobody else holds them, ``most`` at a time, to fresh
        ones in fewer runs, for the runtime to copy. Whoever finds them in the index finds them at their new place. Returns None when there
        is no room now, or nothing to gain.
        """
        move = self.groups[group].move_private(sequence, most)
        if group:
            return None if move is None else msgspec.structs.replace(move, group=group)
        if move is None or self.snapshots is None:
            return move
        holding = self._holdings[sequence]
        for block, to in zip(move.source, move.target, strict=True):
            self.snapshots.move(block, to)
            if holding.newest_snapshot == block:
                holding.newest_snapshot = to
        return move

    def gather(self) -> tuple[Move, ...]:
        """Moves blocks that nobody holds together, where memory lies idle between them, so that it may be given up. It is for when no step
        is planned, nor under way.
        """
        moves = [Move(tuple(sources), tuple(targets), at) for at, group in enumerate(self.groups) for sources, targets in [group.gather()]]
        if self.snapshots is not None:
            for block, to in zip(moves[0].source, moves[0].target, strict=True):
                self.snapshots.move(block, to)
        return tuple(move for move in moves if move.source)

    def close(self, sequence: str) -> None:
        """Ends a sequence that is done, preempted or aborted. Its registered blocks stay findable; tails go first when evicted."""
        holding = self._holdings.pop(sequence)
        for group in self.groups:
            group.close(sequence)
        self._computing.withdraw_all(sequence)
        for snapshot in holding.snapshots.values():
            self._discard(snapshot.id)
        self._tell_disks(holding)

    def find(self, digest: bytes, key: BlockKey, group: int = 0) -> int | None:
        """Returns the block that others would find by a name."""
        return self.groups[group].index.find(digest, key)

    def restore(self, recalled: Recalled, group: int = 0) -> Fetch | None:
        """Makes room for blocks that came from disk, which others find from now on. Returns where they are to be written; None where there
        is no room now, or nothing to write.
        """
        return self.groups[group].restore(recalled)

    def evict_cached(self) -> int:
        """Drops every block that nobody holds, and returns how many."""
        freed = sum(group.pool.evict_cached() for group in self.groups)
        self.trim()
        return freed

    @property
    def has_idle(self) -> bool:
        """Tells whether more memory lies idle than may."""
        return any(group.pool.has_idle for group in self.groups)

    def trim(self) -> None:
        """Gives up memory that lies idle where more does than may, as far as it is at the ends of arenas."""
        for group in self.groups:
            group.trim()

    def shrink(self) -> None:
        """Gives up all memory that lies idle at the ends of arenas. It is for when what was moved is copied, and nothing is asked for."""
        for group in self.groups:
            group.pool.shrink()

    def reset(self) -> None:
        """Forgets all sequences and blocks, in whatever state a fault has left them."""
        self._holdings, self._computing = {}, Announcements()
        for group in self.groups:
            group.reset()
        if self.snapshots is not None:
            self.snapshots.reset()
        for disk in self._disks:
            disk.reset()

    def resize(self, *, capacity: int, snapshots: int, windows: Sequence[WindowSizes] = ()) -> None:
        """Changes the limits. What lies beyond them goes at once, or as soon as nobody holds it."""
        self.pool.resize(capacity)
        for group, sizes in zip(self.windows, windows, strict=True):
            group.pool.resize(sizes.capacity)
        if self.division is not None:
            self.division.renew()
        if self.snapshots is not None:
            self.snapshots.resize(snapshots)

    def check_integrity(self) -> None:
        """Raises ``AssertionError`` unless pool, index and tables agree. It costs O(everything), and is for tests."""
        for group in self.groups:
            group.check_integrity()
            assert all(len(group.table(one)) >= holding.registered for one, holding in self._holdings.items()), "a block is missing"
        if self.snapshots is not None:
            self.snapshots.check_integrity()
        self._computing.check_integrity(self._holdings)
        if self.division is not None:
            self.division.check_integrity()

    def _cut(self, sequence: str, tokens: int) -> None:
        holding, kept = self._holdings[sequence], self.blocks_for(tokens)
        cut = self._layers.cut(sequence, kept, holding.registered)
        for group in self.windows:
            group.cut(sequence, kept, holding.registered)
        holding.registered = min(holding.registered, kept)
        holding.chain.truncate(tokens // self.block_size)  # a block that is cut through may go on otherwise
        if holding.newest_snapshot in cut:
            holding.newest_snapshot = None
        for index in [index for index in holding.snapshots if (index + 1) * self.block_size > tokens]:
            self._discard(holding.snapshots.pop(index).id)

    def _deepest(self, chain: BlockChain, found: list[int]) -> int:
        """Returns behind how many of the ``found`` blocks of a chain a sequence may begin: whatever else it needs there is known, too."""
        depth, before = len(found), -1
        while depth != before:
            before = depth
            for group in self.windows:
                depth = group.deepest(chain, depth)
            if self.snapshots is not None:
                depth = self.snapshots.deepest(found[:depth])
        return depth

    def _tell_disks(self, holding: _Holding) -> None:
        """Takes in that a sequence is over. Of what windows show that is kept which others may begin behind: the prompt, or all of it."""
        prompt = holding.prompt_blocks * self.block_size
        seen_since = [0, *(group.passed_at(prompt) for group in self.windows)]
        for disk in self._disks:
            disk.closed(holding.chain, holding.registered, seen_since[disk.group])

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
                self.snapshots.outlive(holding.newest_snapshot)
            holding.newest_snapshot = block

    def _discard(self, snapshot: int) -> None:
        if self.snapshots is not None:
            self.snapshots.discard(snapshot)
