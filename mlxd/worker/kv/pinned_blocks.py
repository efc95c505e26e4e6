"""Beginnings of prompts that stay in a cache: which blocks those are, in every group of layers, and the recurrent state behind them."""

from collections.abc import Sequence

from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.layer_group import LayerGroup
from mlxd.worker.kv.state_snapshots import StateSnapshots
from mlxd.worker.kv.window_group import WindowGroup


class PinnedBlocks:
    """What is pinned of the groups of a cache: ``layers`` are those that see everything."""

    def __init__(self, layers: LayerGroup, windows: Sequence[WindowGroup], snapshots: StateSnapshots | None) -> None:
        self._layers = layers
        self._windows = windows
        self._snapshots = snapshots

    def pin(self, chain: BlockChain) -> bool:
        """Makes all of a chain stay, with what it takes to begin behind it; False, and nothing stays, where any of it is not there."""
        blocks = self._blocks(chain)
        if blocks is None:
            return False
        for group, own in zip((self._layers, *self._windows), blocks, strict=True):
            for block in own:
                group.pin(block)
        if self._snapshots is not None:
            self._snapshots.pin(blocks[0][-1])
        return True

    def unpin(self, chain: BlockChain) -> None:
        """Lets all of a chain go that is still there, once it is as old as whatever goes then."""
        depth = len(chain)
        found = self._layers.index.match(chain, depth)
        if self._snapshots is not None and len(found) == depth:
            self._snapshots.unpin(found[-1])
        for block in reversed(found):
            self._layers.pool.unpin(block)
        for group in self._windows:
            for index in reversed(group.seen_at(depth)):
                if (seen := group.find(chain, index)) is not None:
                    group.pool.unpin(seen)

    def holds(self, chain: BlockChain) -> bool:
        """Tells whether all of a chain is still there and stays."""
        blocks = self._blocks(chain)
        groups = (self._layers, *self._windows)
        return blocks is not None and all(group.pool.is_pinned(block) for group, own in zip(groups, blocks, strict=True) for block in own)

    def taken_by(self, blocks: int) -> tuple[int, ...]:
        """Returns how many blocks a chain of so many takes in each group of layers."""
        return (blocks, *(len(group.seen_at(blocks)) for group in self._windows))

    def begins(self, chain: BlockChain) -> int:
        """Returns how many blocks at the beginning of a chain are pinned where layers see everything."""
        if not self._layers.pool.pinned:
            return 0
        found = self._layers.index.match(chain, len(chain))
        return sum(map(self._layers.pool.is_pinned, found))

    def _blocks(self, chain: BlockChain) -> list[list[int]] | None:
        """Returns the blocks of a chain, group by group; None where any is missing, or the state behind them."""
        depth = len(chain)
        found = self._layers.index.match(chain, depth)
        if len(found) < depth or (self._snapshots is not None and self._snapshots.of(found[-1]) is None):
            return None
        blocks = [found]
        for group in self._windows:
            seen = [group.find(chain, index) for index in group.seen_at(depth)]
            if None in seen:
                return None
            blocks.append([block for block in seen if block is not None])
        return blocks
