"""Whether the cache has room for one more sequence."""

from collections.abc import Collection, Iterable
from collections.abc import Sequence as List

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
        return min(self._surplus(sequence, lookup, running)) >= 0

    def makes(self, sequence: Sequence, lookup: Lookup, running: Collection[Sequence]) -> bool:
        """Makes room for a sequence, where there is none, of what other groups of layers have to spare. Tells whether it has: what
        ``lookup`` found may be gone then.
        """
        if self._manager.division is None:
            return False
        surplus = self._surplus(sequence, lookup, running)
        return min(surplus) < 0 and self._manager.division.shift(surplus)

    def reserve(self, sequence: Sequence, tokens: int, running: Collection[str], *, may_shift: bool) -> bool:
        """Makes room for ``tokens`` tokens of a sequence in all; where it may shift between groups of layers, also of what others have to
        spare, but for a block for each of ``running`` ones. Returns False where there is none now.
        """
        growing = sequence.generated > 0
        if self._manager.reserve(sequence.id, tokens, growing=growing):
            return True
        if not may_shift or self._manager.division is None:
            return False
        wanted = [self._manager.blocks_for(tokens) - len(group.table(sequence.id)) for group in self._manager.groups]
        short = [more - group.pool.available for more, group in zip(wanted, self._manager.groups, strict=True)]
        surplus = [-more if more > 0 else -more - len(running) for more in short]
        return self._manager.division.shift(surplus) and self._manager.reserve(sequence.id, tokens, growing=growing)

    def _surplus(self, sequence: Sequence, lookup: Lookup, running: Collection[Sequence]) -> list[int]:
        """Returns how many blocks each group of layers has beyond those that are needed; below 0, it has too few."""
        found = (lookup.blocks, *(lookup.windows or [()] * len(self._manager.windows)))
        return [self._left(group, blocks, sequence, running) for group, blocks in zip(self._manager.groups, found, strict=True)]

    @staticmethod
    def _left(group: LayerGroup, found: Collection[int], sequence: Sequence, running: Iterable[Sequence]) -> int:
        # Cached blocks it would take over count as available now, and will not any more.
        taken_over = sum(group.pool.may_be_evicted(block) for block in found)
        owed = sum(max(0, _needed(group, one) - group.table(one.id).held) for one in running)
        return group.pool.available - taken_over - (_needed(group, sequence) - len(found) + _spare(group) + owed)

    def has_beside(self, first: Sequence, sequence: Sequence, behind: Collection[Sequence]) -> bool:
        """Tells whether ``sequence`` takes nothing from ``first``, which waits for room before it: both fit the cache, once all but those
        that run ``behind`` that one are gone.
        """
        wanted = [self._wanted_beside(group, first, sequence, behind) for group in self._manager.groups]
        return self._holds(wanted)

    @staticmethod
    def _wanted_beside(group: LayerGroup, first: Sequence, sequence: Sequence, behind: Iterable[Sequence]) -> int:
        held = sum(max(_needed(group, one), group.table(one.id).held) for one in behind)
        return _needed(group, first) + _needed(group, sequence) + held + _spare(group)

    def _holds(self, wanted: List[int]) -> bool:
        """Tells whether an empty cache holds so many blocks of each group of layers."""
        if self._manager.division is not None:
            return self._manager.division.holds(wanted)
        return all(blocks <= group.pool.capacity - group.pool.pinned for blocks, group in zip(wanted, self._manager.groups, strict=True))

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
        return not self._holds(self._alone(sequence))

    def too_large(self, sequence: Sequence) -> CacheTooSmallError:
        """Returns the error of one that the cache can never hold."""
        needed, groups, division = self._alone(sequence), self._manager.groups, self._manager.division
        if division is not None:
            told = division.told(needed)
        else:
            rooms = [group.pool.capacity - group.pool.pinned for group in groups]
            blocks, room = max(zip(needed, rooms, strict=True), key=lambda pair: pair[0] - pair[1])
            told = f"{blocks} blocks of cache, but the pool has {room}"
        told += " beside what is pinned" if any(group.pool.pinned for group in groups) else ""
        return CacheTooSmallError(f"the prompt needs {told}; raise cache.memory or shorten the prompt")

    def _alone(self, sequence: Sequence) -> list[int]:
        """Returns how many blocks of each group of layers a sequence needs at least to be let in, with nobody else about."""
        ahead = max(1 if self._manager.division is None else _AHEAD, sequence.media.longest_mutual)
        needed = [group.needed(len(sequence.tokens) + 1, ahead) for group in self._manager.groups]
        needed[0] -= self._manager.pinned.begins(sequence.chain)
        return needed


def _needed(group: LayerGroup, sequence: Sequence) -> int:
    """Returns how many blocks a sequence holds at most with one more token. A prompt is computed in smaller parts where there are few."""
    if sequence.decodes:
        return group.needed(sequence.length + 1, 1)
    least, most = max(1, sequence.media.longest_mutual), max(_AHEAD, sequence.media.longest_mutual)
    return min(group.needed(sequence.length + 1, most), max(group.needed(sequence.length + 1, least), group.pool.capacity // 2))


def _spare(group: LayerGroup) -> int:
    """Returns the watermark, in blocks; it is 0 while nobody runs."""
    return int(WATERMARK * group.pool.capacity) if group.pool.counts().used else 0
