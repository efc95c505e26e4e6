"""How layers come to have the arenas that they are told to have: a few layers a step, while nothing lies in what is new of them.

An arena grows by being copied, and all layers of a large cache together are hundreds of megabytes: a step that copied them all would hold
up every stream for as long as a long prompt's part may not. The pool asks for more before it runs out (``ArenaSpace.grow_ahead``), so there
are some steps to do it in. A long prompt that begins behind all that there is gets what its first steps need, in every layer, and the rest
while these are computed.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import mlx.core as mx

from mlxd.worker.engine.plan import StepPlan
from mlxd.worker.kv.arena_sizes import Arena
from mlxd.worker.runtime.paged.layer_cache import PagedLayerCache
from mlxd.worker.runtime.paged.slots import Copy, Geometry, Slots, slots_of

_STEPS = 5  # for so many, layers get what is needed where copying all there is to be would take much longer

ArenasOfGroups = tuple[tuple[Arena, ...], ...]  # the arenas of each group of layers
Place = tuple[int, int]  # a group of layers, and an arena of theirs
Blocks = Counter[Place]  # how many blocks each arena has


class ArenaMemory:
    """The arenas of ``layers``. Those whose turn has not come yet have what all had before, at least."""

    def __init__(self, layers: Sequence[PagedLayerCache]) -> None:
        self._layers = layers
        self.told: ArenasOfGroups = ()  # those that there are to be
        self._late: list[PagedLayerCache] = []
        self._had: Blocks = Counter()  # those that all layers have

    @property
    def is_growing(self) -> bool:
        """Tells whether the turn of some layers has not come yet."""
        return bool(self._late)

    def changes_for(self, plan: StepPlan) -> bool:
        """Tells whether ``keep_for`` would change any layer's arenas."""
        return bool(self._late) or _told(plan) != self.told

    def clear(self) -> None:
        """Gives back the memory of all arenas, and what they were told to be."""
        self.told, self._late = (), []
        for layer in self._layers:
            layer.store.keep({})

    def keep(self, told: ArenasOfGroups, block_size: int) -> None:
        """Makes all arenas as large as they are told to be, and gives back the memory of all others."""
        if told != self.told:
            self.told, self._late = told, list(self._layers)
        self._resize(len(self._late), block_size)

    def keep_for(self, plan: StepPlan, geometries: Sequence[Geometry]) -> None:
        """Makes arenas larger of as many layers as is due, and of all where ``plan`` needs what is new. Where it asks for anything but
        larger ones, it is done at once.
        """
        told, block_size = _told(plan), geometries[0].block_size
        if told != self.told:
            if not _only_grows(self.told, told):
                self.keep(told, block_size)
                return
            if not self._late:
                self._had = _blocks(self.told)
            self.told, self._late = told, list(self._layers)
        if self._late:
            reached = _reached(plan, geometries)
            left = min((self._had[at] * block_size - reached[at] for at in self._grown()), default=0)
            enough = self._enough(plan, reached, block_size) if left < 0 else None
            if enough is None:
                self._resize(self._due(plan, left), block_size)
            else:
                self._have(enough, self._late, block_size)
                self._had = enough

    def _due(self, plan: StepPlan, left: int) -> int:
        """Returns how many layers are to be made larger now, one at least: of those that are late, the part that ``plan`` takes of what all
        have ``left`` behind what it needs, in slots, were all that it computes to lie there; below 0, it needs what is new.
        """
        if left <= 0:
            return len(self._late)
        taken = _taken(plan)
        return max(1, len(self._late) * taken // (left + taken))

    def _enough(self, plan: StepPlan, reached: Counter[Place], block_size: int) -> Blocks | None:
        """Returns the blocks of each arena that do for ``plan`` and some more like it; None where that is most of what there is to be."""
        ahead = _STEPS * -(-_taken(plan) // block_size)
        told = _blocks(self.told)
        enough = told.copy()
        for at in self._grown():
            enough[at] = min(told[at], max(self._had[at], -(-reached[at] // block_size) + ahead))
        return enough if 2 * enough.total() <= told.total() else None

    def _grown(self) -> list[Place]:
        """Returns the arenas that are to be larger than all layers have them."""
        return [at for at, blocks in _blocks(self.told).items() if blocks > self._had[at]]

    def _resize(self, count: int, block_size: int) -> None:
        """Makes the arenas of so many of the layers that are late as large as they are told to be."""
        due, self._late = self._late[:count], self._late[count:]
        self._have(_blocks(self.told), due, block_size)

    @staticmethod
    def _have(blocks: Blocks, layers: Sequence[PagedLayerCache], block_size: int) -> None:
        """Makes the arenas of ``layers`` so large."""
        slots = defaultdict[int, dict[int, int]](dict)
        for (group, number), count in blocks.items():
            slots[group][number] = count * block_size
        changed = [layer.store.keep(slots[layer.group]) for layer in layers]
        if any(changed):
            mx.clear_cache()  # MLX would keep what they were before


def _told(plan: StepPlan) -> ArenasOfGroups:
    return (plan.arenas, *plan.window_arenas)


def _only_grows(before: ArenasOfGroups, told: ArenasOfGroups) -> bool:
    """Tells whether there are the same arenas, and none of them is smaller."""
    had, blocks = _blocks(before), _blocks(told)
    return had.keys() == blocks.keys() and all(blocks[at] >= had[at] for at in blocks)


def _blocks(arenas: ArenasOfGroups) -> Blocks:
    return Counter({(group, arena.number): arena.blocks for group, of_group in enumerate(arenas) for arena in of_group})


def _taken(plan: StepPlan) -> int:
    """Returns how many slots ``plan`` writes."""
    return sum(chunk.count for chunk in plan.chunks)


def _reached(plan: StepPlan, geometries: Sequence[Geometry]) -> Counter[Place]:
    """Returns the slots of each arena up to the last one that ``plan`` needs."""
    reached: Counter[Place] = Counter()
    for group, slots in _needed(plan, geometries):
        reached[group, slots.arena] = max(reached[group, slots.arena], slots.stop)
    return reached


def _needed(plan: StepPlan, geometries: Sequence[Geometry]) -> Iterator[tuple[int, Slots]]:
    """Yields the slots, with their group, that a plan computes with or moves something to. Sequences have blocks beyond what they hold."""
    for chunk in plan.chunks:
        tokens = chunk.start + chunk.count
        yield from ((0, slots) for slots in slots_of(chunk.runs, tokens, geometries[0]))
        for group, window in enumerate(chunk.windows, start=1):
            geometry = geometries[group]
            yield from ((group, slots) for slots in slots_of(window.runs, tokens - window.passed * geometry.block_size, geometry))
    for move in plan.moves:
        yield from ((move.group, slots) for slots in Copy.of(move, geometries[move.group]).targets)
