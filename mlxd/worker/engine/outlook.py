"""What the cache has of sequences that wait, as far as was looked up, and what is on its way for them."""

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice

from mlxd.types import CacheOutcome
from mlxd.worker.engine.adapters.adapters import Adapters
from mlxd.worker.engine.fetching import Fetching
from mlxd.worker.engine.seeing import AHEAD
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.kv.lookup import Lookup
from mlxd.worker.kv.manager import Manager

LOOKUPS = 16  # in one step: a long prompt's takes a millisecond
NOTHING_FOUND = Lookup((), 0, CacheOutcome.MISS)


class Outlook:
    """The outlook of those that wait. What was looked up holds until another sequence begins: it may have computed more of it."""

    def __init__(self, manager: Manager, fetching: Fetching, adapters: Adapters) -> None:
        self.begun = 0  # sequences, ever
        self._manager = manager
        self._fetching = fetching
        self._adapters = adapters

    def look_up(self, sequence: Sequence) -> Lookup:
        """Returns what the cache has of a sequence that waits."""
        lookup = NOTHING_FOUND if sequence.lacks_scores else self._manager.lookup(sequence.chain, sequence.tokens)
        sequence.findable, sequence.awaited, sequence.looked_up = lookup.cached_tokens, lookup.computing, self.begun
        return lookup

    def is_behind(self, sequence: Sequence) -> bool:
        """Tells whether something that it needs is on its way: what it would have to compute, which another sequence computes or is read,
        or its adapter.
        """
        if not self._adapters.has(sequence.id) or self._fetching.awaits(sequence):
            return True
        return sequence.awaited is not None and self._manager.is_computing(sequence.awaited)

    def renew(self, waiting: Iterable[Sequence]) -> None:
        """Looks those up of which the cache may have more than is known, as many as a step has time for."""
        unknown = (one for one in waiting if one.is_unknown(self.begun) and not self.is_behind(one))
        for sequence in heapq.nsmallest(LOOKUPS, unknown, key=lambda one: one.looked_up):
            self.look_up(sequence)

    def next_to_see(self, waiting: Iterable[Sequence]) -> Iterator[Sequence]:
        """Yields those that wait for a place, and would have something to encode then."""
        for sequence in islice((one for one in waiting if one.media.stop), AHEAD):
            if sequence.in_flight or self.is_behind(sequence):
                continue
            if not sequence.is_unknown(self.begun) or self.look_up(sequence).computing is None:
                yield sequence
