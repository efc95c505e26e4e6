"""The blocks of layers that see only the last tokens: a sequence keeps those, and whoever begins where it was finds them there.

What a sequence passes on its way is of use only to one that begins in the middle of it, which few do: so it is kept for a while, and goes
before anything else does. What lies before an end is kept like the rest: where a prompt ended, or where prompts were seen to part. (vLLM's
hybrid cache manager has such groups, too; it lets everything age alike.)
"""

from collections.abc import Iterable, Sequence

from typing_extensions import override

from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.disk_side import DiskSide
from mlxd.worker.kv.layer_group import LayerGroup
from mlxd.worker.kv.sizing import WindowSizes

_PASSED_SHARE = 8  # one in so many of the blocks there may be is one that was passed, at most


class WindowGroup(LayerGroup):
    """The cache of layers that see ``window`` tokens, the newest included, with nothing in it."""

    def __init__(self, sizes: WindowSizes, *, block_size: int, growth_blocks: int, disk: DiskSide | None = None) -> None:
        super().__init__(
            block_size=block_size,
            arena_blocks=sizes.arena_blocks,
            capacity=sizes.capacity,
            spare=sizes.spare,
            growth_blocks=growth_blocks,
            forgotten=self._is_gone,
            disk=disk,
        )
        self.window = sizes.window
        self._passed: dict[int, None] = {}  # blocks that nobody holds and that lie before no end; those passed first come first
        self._ends: dict[str, tuple[range, ...]] = {}  # of each sequence the blocks that lie before an end

    def passed_at(self, tokens: int) -> int:
        """Returns how many blocks at its beginning a sequence needs no more once ``tokens`` are computed, whatever comes then."""
        return max(0, tokens - self.window + 1) // self._block_size

    def seen_at(self, depth: int) -> range:
        """Returns the blocks that a sequence sees which begins behind ``depth`` blocks."""
        return range(self.passed_at(depth * self._block_size), depth)

    def deepest(self, chain: BlockChain, most: int) -> int:
        """Returns behind how many blocks of ``chain``, up to ``most``, a sequence may begin at most: all that it sees there is known."""
        depth = most
        while depth:
            unknown = next((index for index in reversed(self.seen_at(depth)) if self.find(chain, index) is None), None)
            if unknown is None:
                break
            depth = unknown
        return depth

    def known(self, chain: BlockChain, depth: int) -> tuple[int, ...]:
        """Returns the blocks that a sequence sees which begins behind ``depth`` blocks, all of them known."""
        found = (self.find(chain, index) for index in self.seen_at(depth))
        return tuple(block for block in found if block is not None)

    def find(self, chain: BlockChain, index: int) -> int | None:
        """Returns the block that holds what ``chain`` names at ``index``; None where that is not known."""
        return self.index.find(chain.digests[index], chain.keys[index])

    @override
    def needed(self, tokens: int, ahead: int) -> int:
        return min(super().needed(tokens, ahead), super().needed(self.window - 1 + ahead, ahead) + 1)

    def begin(self, sequence: str, blocks: Sequence[int], depth: int, ends: Iterable[int], who: str = "") -> None:
        """Gives ``sequence``, of ``who``, the known ``blocks`` behind which it begins, ``depth`` blocks from its start. Behind ``ends``,
        numbers of its tokens, others may begin.
        """
        self.open(sequence, blocks, depth - len(blocks), who=who)
        for block in blocks:
            self._passed.pop(block, None)
        size = self._block_size
        self._ends[sequence] = (range(depth), *(range(self.passed_at(end), end // size) for end in ends))

    @override
    def gather(self) -> tuple[list[int], list[int]]:
        sources, targets = super().gather()
        moved = dict(zip(sources, targets, strict=True))
        self._passed = {moved.get(block, block): None for block in self._passed}
        return sources, targets

    def pass_by(self, sequence: str, tokens: int) -> None:
        """Gives up what a sequence needs no more once ``tokens`` are computed for good."""
        table, ends = self.table(sequence), self._ends[sequence]
        first = table.passed
        for index, block in enumerate(table.pass_by(self.passed_at(tokens)), start=first):
            self.pool.release(block)
            if not any(index in seen for seen in ends) and not self.pool.references(block) and self.pool.may_be_evicted(block):
                self._passed[block] = None
        while len(self._passed) > self.pool.capacity // _PASSED_SHARE:
            self._drop_passed()

    def offer(self, sequence: str, chain: BlockChain, index: int) -> None:
        """Lets others find the sequence's block at ``index``, unless it has passed that already."""
        if index >= self.table(sequence).passed:
            self.register(sequence, chain, index)

    @override
    def register(self, sequence: str, chain: BlockChain, index: int) -> tuple[int, int | None]:
        known, replaced = super().register(sequence, chain, index)
        if replaced is not None:
            self._passed.pop(replaced, None)
        return known, replaced

    def may_rewind(self, sequence: str, tokens: int) -> bool:
        """Tells whether a sequence still has what it sees behind its first ``tokens``."""
        return self.table(sequence).passed <= self.passed_at(tokens)

    @override
    def cut(self, sequence: str, blocks: int, registered: int) -> list[int]:
        if blocks >= self.table(sequence).passed:
            return super().cut(sequence, blocks, registered)
        cut, who = super().cut(sequence, 0, 1), self._held[sequence].who
        self.open(sequence, (), who=who)  # it begins anew
        return cut

    @override
    def close(self, sequence: str) -> None:
        super().close(sequence)
        del self._ends[sequence]

    @override
    def reset(self) -> None:
        super().reset()
        self._passed, self._ends = {}, {}

    @override
    def check_integrity(self) -> None:
        super().check_integrity()
        assert not any(self.pool.references(block) for block in self._passed), "a block that somebody holds counts as passed"
        assert all(self.pool.is_findable(block) for block in self._passed), "a block that was passed is lost"

    @override
    def _allocate(self, blocks: int, after: int | None, who: str = "") -> list[range] | None:
        while self.pool.free < blocks <= self.pool.available and self._passed:
            self._drop_passed()
        return super()._allocate(blocks, after, who)

    @override
    def pin(self, block: int) -> None:
        super().pin(block)
        self._passed.pop(block, None)

    def _drop_passed(self) -> None:
        self._drop(next(iter(self._passed)))

    def _is_gone(self, block: int) -> None:
        self._passed.pop(block, None)
