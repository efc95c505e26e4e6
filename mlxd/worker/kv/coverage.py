"""How much of the blocks of a cache a second model has computed, such as one that drafts: it has keys and values of its own for the same
blocks, and may lag behind the first one, or leave out what is of no use to it.

What is covered belongs to blocks, not to sequences. So whatever happens to blocks (others find them, they are moved, evicted, taken
over) happens to both models' keys and values, and nobody has to manage the second one's.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from mlxd.worker.kv.block_table import Run
from mlxd.worker.kv.move import Move


class Coverage:
    """For each block, how many of its tokens the second model has computed, from the block's first one on."""

    def __init__(self, block_size: int) -> None:
        self._block_size = block_size
        self._filled: dict[int, int] = {}  # only what is not 0

    def covered(self, runs: Sequence[Run], tokens: int) -> int:
        """Returns how many of the first ``tokens`` tokens of a sequence whose blocks are ``runs`` are covered, up to the first one that is
        not. It takes O(blocks).
        """
        covered = 0
        for block in chain.from_iterable(runs):
            filled = self._filled.get(block, 0)
            covered += filled
            if filled < self._block_size or covered >= tokens:
                break
        return min(covered, tokens)

    def overwrite(self, runs: Sequence[Run], start: int, stop: int) -> None:
        """Takes in that the tokens ``start`` to ``stop`` of a sequence are others than whatever its blocks held there before."""
        for block, first, _ in self._parts(runs, start, stop):
            if self._filled.get(block, 0) > first:
                self._set(block, first)

    def add(self, runs: Sequence[Run], start: int, stop: int) -> None:
        """Takes in that the second model has computed the tokens ``start`` to ``stop``. Raises ``ValueError`` where it lacks one before
        them in their first block.
        """
        for block, first, last in self._parts(runs, start, stop):
            if self._filled.get(block, 0) < first:
                raise ValueError(f"block {block} has a gap before its token {first}")
            self._set(block, max(last, self._filled.get(block, 0)))

    def move(self, move: Move) -> None:
        """Takes in that blocks are copied, with what the second model has of them."""
        moved = [self._filled.get(block, 0) for block in move.source]
        for block, filled in zip(move.target, moved, strict=True):
            self._set(block, filled)

    def forget(self, blocks: Iterable[int]) -> None:
        """Takes in that blocks hold something else than whatever the second model has of them."""
        for block in blocks:
            self._set(block, 0)

    def clear(self) -> None:
        """Forgets everything: nothing is covered."""
        self._filled.clear()

    def _set(self, block: int, filled: int) -> None:
        if filled:
            self._filled[block] = filled
        else:
            self._filled.pop(block, None)

    def _parts(self, runs: Sequence[Run], start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yields the blocks of the tokens ``start`` to ``stop``, each with the part of it that these are."""
        size, index = self._block_size, 0
        for run in runs:
            for at in range(max(index, start // size), min(index + len(run), -(-stop // size))):
                yield run.start + at - index, max(0, start - at * size), min(size, stop - at * size)
            index += len(run)
