"""How the bytes of a cache are shared out between groups of layers, as sequences turn out to need them.

Short conversations need as many blocks where layers see a window as where they see everything, long ones a small part of that. So what was
shared out by a usual length is shared out again when a sequence would have to wait while other groups have blocks to spare.
"""

from collections.abc import Iterable, Sequence

from mlxd import quantities
from mlxd.worker.kv.layer_group import LayerGroup


class Division:
    """The capacities of ``groups``, whose blocks take ``block_bytes`` each: all together never more than when they were last renewed."""

    def __init__(self, groups: Sequence[LayerGroup], block_bytes: Sequence[int]) -> None:
        self._groups = groups
        self._bytes = block_bytes
        self.renew()

    def renew(self) -> None:
        """Takes in that the groups have other capacities, which are the limit from now on."""
        self._limit = self._taken(group.pool.capacity for group in self._groups)

    @property
    def limit(self) -> int:
        """Returns how many bytes there are."""
        return self._limit

    def holds(self, needed: Sequence[int]) -> bool:
        """Tells whether an empty cache has room for so many blocks of each group."""
        return self._whole(needed) <= self._room

    def told(self, needed: Sequence[int]) -> str:
        """Returns in words what so many blocks of each group take, and what there is."""
        return f"{quantities.size(self._whole(needed))} of cache, but there are {quantities.size(self._room)}"

    def shift(self, surplus: Sequence[int]) -> bool:
        """Gives blocks to groups that have too few, told by numbers below 0, of those that have so many more than they need. What is cached
        in these may be evicted, and what somebody holds there is given once it is let go. Returns whether all have enough now; where there
        is not enough at all, nothing is changed.
        """
        wanted = [group.portions(-more) if more < 0 else 0 for group, more in zip(self._groups, surplus, strict=True)]
        spared = [_whole(group, more) if more > 0 else 0 for group, more in zip(self._groups, surplus, strict=True)]
        lacking = self._taken(wanted) + self._taken(group.pool.capacity for group in self._groups) - self._limit
        if not any(wanted) or lacking > self._taken(spared):
            return False
        for group, most, size in zip(self._groups, spared, self._bytes, strict=True):
            if lacking > 0 and most and size:
                given = min(most, group.portions(-(-lacking // size)))
                group.resize(group.pool.capacity - given)
                lacking -= given * size
        grown = [self._grow(at, blocks) for at, blocks in enumerate(wanted) if blocks]
        return all(grown)

    def check_integrity(self) -> None:
        """Raises ``AssertionError`` if groups may have more than there is."""
        assert self._taken(group.pool.capacity for group in self._groups) <= self._limit, "more is shared out than there is"

    @property
    def _room(self) -> int:
        """Returns the bytes that are not pinned."""
        return self._limit - self._taken(group.pool.pinned for group in self._groups)

    def _grow(self, at: int, blocks: int) -> bool:
        """Gives a group so many blocks more, unless others still hold what they are to give."""
        group, size = self._groups[at], self._bytes[at]
        others = sum(one.claimed * each for one, each in zip(self._groups, self._bytes, strict=True)) - group.claimed * size
        wanted = group.pool.capacity + blocks
        if others + wanted * size > self._limit:
            return False
        group.resize(wanted)
        return True

    def _whole(self, needed: Sequence[int]) -> int:
        """Returns the bytes of so many blocks of each group, in portions."""
        return self._taken(group.portions(blocks) for group, blocks in zip(self._groups, needed, strict=True))

    def _taken(self, blocks: Iterable[int]) -> int:
        return sum(count * size for count, size in zip(blocks, self._bytes, strict=True))


def _whole(group: LayerGroup, blocks: int) -> int:
    """Returns how many of these blocks a group can give."""
    portion = group.portions(1)
    return blocks // portion * portion
