"""Whether the cache has room for one more sequence."""

from collections.abc import Collection, Iterable

from mlxd.errors import CacheTooSmallError
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.kv.layer_group import LayerGroup
from mlxd.worker.kv.lookup import Lookup
from mlxd.worker.kv.manager import Manager

WATERMARK = 0.02  # of the pool's blocks stay free at admission, so that a newcomer is not preempted at its first token
_AHEAD = 256  # tokens of a prompt that are computed at once where there is little room: layers that see a window hold them beside it


class Room:
    """The room there is beside those that run. There must be enough in each group of layers."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def has(self, sequence: Sequence, lookup: Lookup, running: Collection[Sequence]) -> bool:
        """Tells whether there is room for all of its tokens and one more, and the watermark, beside what it finds in the cache and what
        the prompts of ``running`` sequences still need.
        """
        found = (lookup.blocks, *(lookup.windows or [()] * len(self._manager.windows)))
        return all(self._has(group, blocks, sequence, running) for group, blocks in zip(self._manager.groups, found, strict=True))

    def _has(self, group: LayerGroup, found: Collection[int], sequence: Sequence, running: Iterable[Sequence]) -> bool:
        # Cached blocks it would take over count as available now, and will not any more.
        taken_over = sum(not group.pool.references(block) for block in found)
        owed = sum(max(0, _needed(group, one) - group.table(one.id).held) for one in running)
        return _needed(group, sequence) - len(found) + _spare(group) + owed <= group.pool.available - taken_over

    def has_beside(self, first: Sequence, sequence: Sequence, behind: Collection[Sequence]) -> bool:
        """Tells whether ``sequence`` takes nothing from ``first``, which waits for room before it: both fit the cache, once all but those
        that run ``behind`` that one are gone.
        """
        return all(self._has_beside(group, first, sequence, behind) for group in self._manager.groups)

    @staticmethod
    def _has_beside(group: LayerGroup, first: Sequence, sequence: Sequence, behind: Iterable[Sequence]) -> bool:
        held = sum(max(_needed(group, one), group.table(one.id).held) for one in behind)
        return _needed(group, first) + _needed(group, sequence) + held + _spare(group) <= group.pool.capacity

    def for_guesses(self, sequence: Sequence, most: int, running: Collection[str]) -> int:
        """Returns how many guesses, of ``most``, have room behind the next token of ``sequence``, without any that another of ``running``
        ones may need for its own next token.
        """
        return min(self._for_guesses(group, sequence, most, running) for group in self._manager.groups)

    def _for_guesses(self, group: LayerGroup, sequence: Sequence, most: int, running: Collection[str]) -> int:
        blocks = len(group.table(sequence.id))
        held = blocks * self._manager.block_size - sequence.computed - 1
        wanted = self._manager.blocks_for(sequence.computed + 1 + most) - blocks
        if wanted > 0 and group.pool.available < len(running) + wanted:
            return max(0, min(most, held))
        return most

    def for_prompt(self, sequence: Sequence, most: int, running: Collection[str]) -> int:
        """Returns how many of the next ``most`` tokens of a prompt to compute at once: one at least, and no more than the layers that see a
        window have room for beside it, without any block that another of ``running`` ones may need for its own next token.
        """
        for group in self._manager.windows:
            blocks = len(group.table(sequence.id)) + max(0, group.pool.available - len(running))
            most = min(most, blocks * self._manager.block_size - sequence.computed)
        return max(1, most)

    def can_never_hold(self, sequence: Sequence) -> bool:
        """Tells whether even an empty cache is too small."""
        return self._too_small(sequence) is not None

    def too_large(self, sequence: Sequence) -> CacheTooSmallError:
        """Returns the error of one that the cache can never hold."""
        group = self._too_small(sequence) or self._manager.groups[0]
        needed, capacity = group.needed(len(sequence.tokens) + 1, 1), group.pool.capacity
        return CacheTooSmallError(
            f"the prompt needs {needed} blocks of cache, but the pool has {capacity}; raise cache.memory or shorten the prompt"
        )

    def _too_small(self, sequence: Sequence) -> LayerGroup | None:
        """Returns the group of layers whose blocks are too few even if nobody else had any."""
        length = len(sequence.tokens) + 1
        return next((group for group in self._manager.groups if group.needed(length, 1) > group.pool.capacity), None)


def _needed(group: LayerGroup, sequence: Sequence) -> int:
    """Returns how many blocks a sequence holds at most with one more token. A prompt is computed in smaller parts where there are few."""
    least = group.needed(sequence.length + 1, 1)
    return least if sequence.decodes else min(group.needed(sequence.length + 1, _AHEAD), max(least, group.pool.capacity // 2))


def _spare(group: LayerGroup) -> int:
    """Returns the watermark, in blocks; it is 0 while nobody runs."""
    return int(WATERMARK * group.pool.capacity) if group.pool.counts().used else 0
