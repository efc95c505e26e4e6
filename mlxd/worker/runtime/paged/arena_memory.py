"""How layers come to have the arenas that they are told to have: a few layers a step, while nothing lies in what is new of them.

An arena grows by being copied, and all layers of a large cache together are hundreds of megabytes: a step that copied them all would hold
up every stream for as long as a long prompt's part may not. The pool asks for more before it runs out (``ArenaSpace.grow_ahead``), so there
are some steps to do it in.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import mlx.core as mx

from mlxd.worker.engine.plan import StepPlan
from mlxd.worker.kv.arena_sizes import Arena
from mlxd.worker.kv.block_table import Run
from mlxd.worker.runtime.paged.layer_cache import PagedLayerCache
from mlxd.worker.runtime.paged.slots import Geometry

ArenasOfGroups = tuple[tuple[Arena, ...], ...]  # the arenas of each group of layers


class ArenaMemory:
    """The arenas of ``layers``. Those whose turn has not come yet have what all had before, at least."""

    def __init__(self, layers: Sequence[PagedLayerCache]) -> None:
        self._layers = layers
        self._told: ArenasOfGroups | None = None
        self._late: list[PagedLayerCache] = []
        self._had = Counter[tuple[int, int]]()  # blocks of each arena of each group, that all layers have
        self._ahead = 0  # blocks that were to be taken before somebody needed more than all layers had, when they began to be late
        self._begun = 0  # how many layers were late then

    @property
    def told(self) -> ArenasOfGroups:
        """Returns the arenas that there are to be, of each group of layers."""
        return self._told or ()

    def clear(self) -> None:
        """Gives back the memory of all arenas, and what they were told to be."""
        self._told, self._late = None, []
        for layer in self._layers:
            layer.store.keep({})

    def keep(self, told: ArenasOfGroups, block_size: int) -> None:
        """Makes all arenas as large as they are told to be, and gives back the memory of all others."""
        if told != self._told:
            self._told, self._late = told, list(self._layers)
        self._resize(len(self._late), block_size)

    def keep_for(self, plan: StepPlan, geometries: Sequence[Geometry]) -> None:
        """Makes arenas larger of as many layers as is due, and of all where ``plan`` needs what is new. Where it asks for anything but
        larger ones, it is done at once.
        """
        told, block_size = (plan.arenas, *plan.window_arenas), geometries[0].block_size
        if told != self._told:
            if self._told is None or not _only_grows(self._told, told):
                self.keep(told, block_size)
                return
            if not self._late:
                self._had = _blocks(self._told)
            self._told, self._late = told, list(self._layers)
            self._ahead, self._begun = self._left(plan, geometries), len(self._late)
        if self._late:
            self._resize(self._due(self._left(plan, geometries)), block_size)

    def _due(self, left: int) -> int:
        """Returns how many layers are to be made larger now, while ``left`` blocks can be taken before all must be: one at least."""
        if left < 0:
            return len(self._late)
        done = self._begun - len(self._late)
        return max(1, self._begun - self._begun * left // max(1, self._ahead) - done)

    def _left(self, plan: StepPlan, geometries: Sequence[Geometry]) -> int:
        """Returns how many blocks all layers have behind those that ``plan`` needs, in the arena with the fewest of those that grow; below
        0 where it needs what is new.
        """
        reached = Counter[tuple[int, int]]()
        for group, block in _last_blocks(plan, geometries[0].block_size):
            addresses = geometries[group].addresses
            at = group, addresses.arena(block)
            reached[at] = max(reached[at], addresses.place(block) + 1)
        return min((self._had[at] - reached[at] for at, blocks in _blocks(self.told).items() if blocks > self._had[at]), default=0)

    def _resize(self, count: int, block_size: int) -> None:
        """Makes the arenas of so many of the layers that are late as large as they are told to be."""
        due, self._late = self._late[:count], self._late[count:]
        slots = [{arena.number: arena.blocks * block_size for arena in group} for group in self.told]
        changed = [layer.store.keep(slots[layer.group]) for layer in due]
        if any(changed):
            mx.clear_cache()  # MLX would keep what they were before


def _only_grows(before: ArenasOfGroups, told: ArenasOfGroups) -> bool:
    """Tells whether there are the same arenas, and none of them is smaller."""
    had, blocks = _blocks(before), _blocks(told)
    return had.keys() == blocks.keys() and all(blocks[at] >= had[at] for at in blocks)


def _blocks(arenas: ArenasOfGroups) -> Counter[tuple[int, int]]:
    return Counter({(group, arena.number): arena.blocks for group, of_group in enumerate(arenas) for arena in of_group})


def _last_blocks(plan: StepPlan, block_size: int) -> Iterator[tuple[int, int]]:
    """Yields group and number of the last block, of each run, that a plan computes with, and of all that it moves something to."""
    for chunk in plan.chunks:
        blocks = -(-(chunk.start + chunk.count) // block_size)
        yield from ((0, block) for block in _ends(chunk.runs, blocks))
        for group, window in enumerate(chunk.windows, start=1):
            yield from ((group, block) for block in _ends(window.runs, blocks - window.passed))
    yield from ((move.group, block) for move in plan.moves for block in move.target)


def _ends(runs: Sequence[Run], blocks: int) -> Iterator[int]:
    """Yields the last one, of each run, of the first ``blocks``. Sequences have some beyond what they hold."""
    for run in runs:
        if blocks > 0:
            yield run.start + min(blocks, len(run)) - 1
        blocks -= len(run)
