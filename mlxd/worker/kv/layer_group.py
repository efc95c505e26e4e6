"""The blocks of layers that see equally far back, for all sequences: a pool, what is found there, and who holds what."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from mlxd.worker.kv.addresses import neighbours
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.block_pool import BlockPool
from mlxd.worker.kv.block_table import BlockTable
from mlxd.worker.kv.disk_side import DiskSide
from mlxd.worker.kv.move import Move
from mlxd.worker.kv.prefix_index import PrefixIndex
from mlxd.worker.kv.recall import Recalled
from mlxd.worker.kv.transfers import Fetch, Spill

_LARGEST_PIECE = 32  # blocks taken ahead where a new piece is begun
_PORTIONS = 4  # of an arena: in one of them groups of layers give each other what they do not need
_CAUTION = 4  # only one in so many of the blocks that can be had is taken for anything but need


@dataclass
class Held:
    """One sequence's blocks, charged to ``who``: ``needed`` of those in the table are asked for, the others taken ahead. ``expected`` will
    be, or more.
    """

    table: BlockTable
    needed: int
    expected: int
    who: str


class LayerGroup:
    """The cache of layers that see everything. ``forgotten`` is told each block that is not found any more because it was evicted, or
    because what it holds is of no use; ``disk``, where there is one, what it held in the first case.
    """

    def __init__(  # noqa: PLR0913 - what a group is made of
        self,
        *,
        block_size: int,
        arena_blocks: int,
        capacity: int,
        spare: int,
        growth_blocks: int,
        forgotten: Callable[[int], None],
        disk: DiskSide | None = None,
    ) -> None:
        self._block_size = block_size
        self.pool = BlockPool(arena_blocks=arena_blocks, capacity=capacity, spare=spare, on_evict=self._evicted)
        self.index = PrefixIndex()
        self._growth_blocks = growth_blocks
        self._forgotten = forgotten
        self._is_filling = False  # the step that is being planned moves blocks, or writes to some what came from disk
        self._disk = disk
        self._held: dict[str, Held] = {}

    def table(self, sequence: str) -> BlockTable:
        """Returns the blocks of a sequence."""
        return self._held[sequence].table

    @property
    def claimed(self) -> int:
        """Returns how many blocks there may be; or how many there are, where a smaller limit has not given all back yet."""
        ends = (self.pool.addresses.blocks(arena.number).start + arena.blocks for arena in self.pool.arenas)
        return max([self.pool.capacity, *ends])

    def portions(self, blocks: int) -> int:
        """Returns the least number of blocks, no fewer than these, by which it is worth to have more or fewer."""
        portion = -(-self.pool.addresses.arena_blocks // _PORTIONS)
        return -(-blocks // portion) * portion

    def resize(self, blocks: int) -> None:
        """Changes how many blocks there may be. What lies beyond goes at once, or as soon as nobody holds it."""
        self.pool.resize(blocks)
        if not self._is_filling:
            self.pool.trim()

    def trim(self) -> None:
        """Gives up memory that lies idle where more does than may. It is for when nothing is planned yet of the next step."""
        self._is_filling = False
        self.pool.trim()

    def needed(self, tokens: int, ahead: int) -> int:  # noqa: ARG002 - not all layers see everything
        """Returns the most blocks that a sequence holds until it has so many ``tokens``, with no more than ``ahead`` in a step."""
        return -(-tokens // self._block_size)

    def open(self, sequence: str, blocks: Iterable[int], passed: int = 0, expected: int = 0, who: str = "") -> None:
        """Gives ``sequence``, of ``who``, blocks that were found just now, behind ``passed`` that it needs no more. It will need
        ``expected`` in all, or more.
        """
        table = BlockTable(self.pool.addresses, passed)
        for block in blocks:
            self.pool.retain(block, who)
            table.append(block)
        self._held[sequence] = Held(table, len(table), expected, who)

    def pin(self, block: int) -> None:
        """Makes a block stay, whoever holds it, until it is unpinned as often."""
        self.pool.pin(block)

    def reserve(self, sequence: str, blocks: int, *, growing: bool) -> bool:
        """Makes room for so many blocks in all. Where there is room, it takes those that are expected too, so that prompts which are
        computed side by side do not interleave; with ``growing`` a few more, so that sequences that decode do not. Returns False where
        there is no room now; the sequence has got nothing then.
        """
        held = self._held[sequence]
        held.needed, table = max(held.needed, blocks), held.table
        need = blocks - len(table)
        if need <= 0:
            return True
        ahead = self._ahead(held, need) if growing else max(0, min(held.expected - blocks, self.pool.free - need))
        taken = self._allocate(need + ahead, table.last, held.who)
        if taken is None and self._give_back_ahead():
            taken = self._allocate(need, table.last, held.who)
        if taken is None:
            return False
        table.extend(taken)
        return True

    def register(self, sequence: str, chain: BlockChain, index: int) -> tuple[int, int | None]:
        """Lets others find the sequence's block at ``index``, which is full and computed. Returns the one that is found by its name, and
        the one whose place it took: another that was first stays, unless nobody holds that. It would be lost as what is used no more,
        while the same was computed anew. With a disk it stays, too: it may be about to be written there, and holds its values already.
        """
        block, digest, key = self._held[sequence].table.block_at(index), chain.digests[index], chain.keys[index]
        known, replaced = self.index.register(digest, key, block), None
        is_old = known != block and self._disk is None and self.index.find(digest, key) == known
        if is_old and self.pool.may_be_evicted(known):
            self.index.move(known, block)
            self.pool.forget(known)
            known, replaced = block, known
        if known == block:
            self.pool.make_findable(block)
        return known, replaced

    def cut(self, sequence: str, blocks: int, registered: int) -> list[int]:
        """Gives up the blocks behind the first ``blocks``, but a few taken ahead, unless that cuts into those that are ``registered``.
        Returns those that were given up.
        """
        held = self._held[sequence]
        held.needed = blocks
        ahead = self._growth_blocks - 1 if blocks >= registered else 0  # a sequence that grows has taken these again in no time
        cut = held.table.truncate(blocks + ahead)
        self._release(cut)
        return cut

    def give_back(self, sequence: str, blocks: int) -> None:
        """Gives up all blocks behind the first ``blocks``."""
        held = self._held[sequence]
        held.needed = min(held.needed, blocks)
        self._release(held.table.truncate(blocks))

    def close(self, sequence: str) -> None:
        """Ends a sequence. What is registered of it stays findable; tails go first when evicted."""
        self._release(list(self._held.pop(sequence).table))

    def move_private(self, sequence: str, most: int) -> Move | None:
        """Moves the blocks at the end of a sequence that nobody else holds, ``most`` at a time, to fresh ones in fewer runs, for the
        runtime to copy. Whoever finds them in the index finds them at their new place. Returns None when there is no room now, or
        nothing to gain.
        """
        table, pool, who = self._held[sequence].table, self.pool, self._held[sequence].who
        blocks = list(table)
        first = len(blocks)
        while first > max(0, len(blocks) - most) and pool.is_private(blocks[first - 1]):
            first -= 1
        moving = blocks[first:]
        if len(moving) > max(pool.free, pool.available // _CAUTION) or not pool.may_move(len(moving)):  # little is evicted for this
            return None
        fresh = pool.allocate(len(moving), None, who) or []
        target = [block for run in fresh for block in run]
        if len(fresh) >= len(list(neighbours(moving))):
            self._release(target)
            return None
        for block, to in zip(moving, target, strict=True):
            if pool.is_findable(block):
                pool.hand_over(block, to)
                digest = self.index.move(block, to)
                if self._disk is not None:
                    self._disk.planned([digest])
        self._is_filling = True
        table.truncate(table.passed + first)
        table.extend(fresh)
        self._release(moving)
        return Move(tuple(moving), tuple(target))

    def gather(self) -> tuple[list[int], list[int]]:
        """Moves blocks that nobody holds together, where memory lies idle between them, for the runtime to copy; returns them, and where
        they are then. It is for when no step is planned.
        """
        sources, targets = self.pool.gather()
        for block, to in zip(sources, targets, strict=True):
            self.index.move(block, to)
        return sources, targets

    def distrust(self, digests: Collection[bytes]) -> set[str]:
        """Lets nobody find what is known by ``digests`` any more, for it is no number. Returns the sequences that hold any of it."""
        gone = self.index.named(digests)
        holders = {sequence for sequence, held in self._held.items() if not gone.isdisjoint(held.table)}
        for block in gone:
            spill = self._drop(block)
            if self._disk is not None:
                self._disk.distrusted([spill.digest])
        return holders

    def restore(self, recalled: Recalled) -> Fetch | None:
        """Makes room for blocks that came from disk, which others find from now on. Returns where they are to be written; None where there
        is no room now, or nothing to write.
        """
        if self._disk is None:
            return None
        self._is_filling = True
        return self._disk.restore(recalled, self.pool, self.index, self._allocate)

    def reset(self) -> None:
        """Forgets all sequences and blocks, in whatever state a fault has left them."""
        self.index, self._held = PrefixIndex(), {}
        self.pool.reset()

    def check_integrity(self) -> None:
        """Raises ``AssertionError`` unless pool, index and tables agree. It costs O(everything), and is for tests."""
        self.pool.check_integrity()
        self.index.check_integrity()
        held: dict[int, int] = {}
        for one in self._held.values():
            for block in one.table:
                held[block] = held.get(block, 0) + 1
        assert all(self.pool.references(block) == count for block, count in held.items()), "references differ from the tables"
        assert self.pool.counts().used == len(held), "a block is held by no table"

    def _allocate(self, blocks: int, after: int | None, who: str = "") -> list[range] | None:
        return self.pool.allocate(blocks, after, who)

    def _ahead(self, held: Held, need: int) -> int:
        """Returns how many blocks to take beside those that are needed now.

        They are a few, or where a new piece must be begun as many as make it worth it.
        """
        table, ahead, spare = held.table, self._growth_blocks - 1, self.pool.available - need
        if not self.pool.continues(table.last, need + ahead, held.who):
            own = sum(self.pool.references(block) == 1 for block in table)  # what would be moved, were it in many pieces
            ahead, spare = max(ahead, min(own // 2, _LARGEST_PIECE)), min(spare, self.pool.available // _CAUTION)
        return max(0, min(ahead, spare))

    def _give_back_ahead(self) -> bool:
        """Frees what was taken ahead and is not asked for yet. Returns False where that was nothing."""
        given_back = [block for held in self._held.values() for block in reversed(held.table.truncate(held.needed))]
        for block in given_back:
            self.pool.release(block)
        return bool(given_back)

    def _release(self, blocks: Sequence[int]) -> None:
        """Lets go of blocks, the last of them first: that is evicted first."""
        for block in reversed(blocks):
            self.pool.release(block)

    def _drop(self, block: int) -> Spill:
        """Lets nobody find a block any more, and returns what it was known by."""
        spill = self._forget(block)
        self.pool.forget(block)
        return spill

    def _evicted(self, block: int) -> None:
        """Takes in that a block that others could have found is to be given to somebody else. What it holds is there until then."""
        spill = self._forget(block)
        if self._disk is not None:
            self._disk.evicted(spill)

    def _forget(self, block: int) -> Spill:
        self._forgotten(block)
        return self.index.forget(block)
