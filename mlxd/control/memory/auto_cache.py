"""``cache.memory = "auto"``: one pool of memory for the caches of all the models that want it. Pure: values in, shares out.

The pool is a fifth of the RAM that is available, or what ``memory.limit`` leaves where that is less; the models share it equally.
"""

from collections.abc import Mapping
from dataclasses import dataclass

AUTO_FRACTION = 0.2  # of the RAM available when the first of them loads
FLOOR = 64 * 2**20  # bytes; with less a cache is of little use, so that a model rather waits or is refused


@dataclass(frozen=True)
class Member:
    """A worker that wants a share. In bytes, it has what it needs ``fixed``, and the pool as it was when it came."""

    fixed: int
    pool: int

    @property
    def floor(self) -> int:
        """Returns the least that the worker takes, in bytes."""
        return min(FLOOR, self.pool)


def shares(members: Mapping[str, Member], room: int) -> dict[str, int]:
    """Returns the bytes of cache for each. ``room`` is what all of them may have together, weights included."""
    if not members:
        return {}
    left = room - sum(one.fixed for one in members.values())
    each = min(max(one.pool for one in members.values()), left) // len(members)
    return {name: max(one.floor, each) for name, one in members.items()}
