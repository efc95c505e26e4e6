"""Whether the cache has room for one more sequence."""

from collections.abc import Collection, Iterable

from mlxd.errors import CacheTooSmallError
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.kv.lookup import Lookup
from mlxd.worker.kv.manager import Manager

WATERMARK = 0.02  # of the pool's blocks stay free at admission, so that a newcomer is not preempted at its first token


class Room:
    """The room there is beside those that run."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def has(self, sequence: Sequence, lookup: Lookup, running: Iterable[Sequence]) -> bool:
        """Tells whether there is room for all of its tokens and one more, and the watermark, beside what it finds in the cache and what
        the prompts of ``running`` sequences still need.
        """
        pool = self._manager.pool
        # Cached blocks it would take over count as available now, and will not any more.
        taken_over = sum(not pool.references(block) for block in lookup.blocks)
        owed = sum(max(0, self._needed(one) - self._manager.held(one.id)) for one in running)
        return self._needed(sequence) - len(lookup.blocks) + self._spare + owed <= pool.available - taken_over

    def has_beside(self, first: Sequence, sequence: Sequence, behind: Iterable[Sequence]) -> bool:
        """Tells whether ``sequence`` takes nothing from ``first``, which waits for room before it: both fit the cache, once all but those
        that run ``behind`` that one are gone.
        """
        held = sum(max(self._needed(one), self._manager.held(one.id)) for one in behind)
        return self._needed(first) + self._needed(sequence) + held + self._spare <= self._manager.pool.capacity

    def for_guesses(self, sequence: Sequence, most: int, running: Collection[str]) -> int:
        """Returns how many guesses, of ``most``, have room behind the next token of ``sequence``, without any that another of ``running``
        ones may need for its own next token.
        """
        held = self._manager.held(sequence.id) * self._manager.block_size - sequence.computed - 1
        wanted = self._manager.blocks_for(sequence.computed + 1 + most) - self._manager.held(sequence.id)
        if wanted > 0 and self._manager.pool.available < len(running) + wanted:
            return max(0, min(most, held))
        return most

    def can_never_hold(self, sequence: Sequence) -> bool:
        """Tells whether even an empty cache is too small."""
        return self._manager.blocks_for(len(sequence.tokens) + 1) > self._manager.pool.capacity

    def too_large(self, sequence: Sequence) -> CacheTooSmallError:
        """Returns the error of one that the cache can never hold."""
        needed, capacity = self._manager.blocks_for(len(sequence.tokens) + 1), self._manager.pool.capacity
        return CacheTooSmallError(
            f"the prompt needs {needed} blocks of cache, but the pool has {capacity}; raise cache.memory or shorten the prompt"
        )

    def _needed(self, sequence: Sequence) -> int:
        return self._manager.blocks_for(sequence.length + 1)

    @property
    def _spare(self) -> int:
        """Returns the watermark, in blocks; it is 0 while nobody runs."""
        return int(WATERMARK * self._manager.pool.capacity) if self._manager.counts().used else 0
