"""Who holds how many of the places of a batch: those are shared among requests, of which one may ask for many answers."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.waiting_line import Rank

RankOf = Callable[[Sequence], Rank]


class Places:
    """The ``most`` places of a batch, some of which ``running`` sequences have."""

    def __init__(self, running: Collection[Sequence], most: int) -> None:
        self._running = running
        self._held = Counter(one.sharer for one in running)
        self._most = most

    @property
    def free(self) -> int:
        """Returns how many nobody has; less than 0 where there are fewer than there were."""
        return self._most - self._held.total()

    @property
    def are_uneven(self) -> bool:
        """Tells whether all are taken, and some request holds several."""
        return self.free <= 0 and max(self._held.values(), default=0) > 1

    def take(self, sequence: Sequence) -> None:
        """Gives ``sequence`` a place of its request's share."""
        self._held[sequence.sharer] += 1

    def give_back(self, sequence: Sequence) -> None:
        """Takes the place of ``sequence`` back."""
        self._held[sequence.sharer] -= 1

    def may_have(self, sequence: Sequence, waiting: Iterable[Sequence]) -> bool:
        """Tells whether there is one for ``sequence``, beside those for all of ``waiting`` whose requests hold fewer than its own."""
        own = self._held[sequence.sharer]
        if self.free <= 0 or not own:
            return self.free > 0
        return sum(self._held[one.sharer] < own for one in waiting) < self.free

    def giver(self, sequence: Sequence, rank: RankOf) -> Sequence | None:
        """Returns who is to give one back for ``sequence``, where all are taken: the last of the request that holds most, if it still holds
        as many as ``sequence``'s own then. Returns None where nobody is.
        """
        own = self._held[sequence.sharer]
        return None if self.free > 0 else self._last(self._running, own + 1, sequence, rank)

    def last(self, candidates: Collection[Sequence], rank: RankOf) -> Sequence:
        """Returns who of ``candidates`` goes last: by rank, but a request that holds many places loses some of these before another one
        loses its last.
        """
        last = max(candidates, key=rank)
        return self._last(candidates, self._held[last.sharer] + 1, last, rank) or last

    def _last(self, candidates: Iterable[Sequence], most: int, sequence: Sequence, rank: RankOf) -> Sequence | None:
        """Returns the last one of the request that holds most, and more than ``most``, and is not more important than ``sequence``."""
        many = [one for one in candidates if self._held[one.sharer] > most and one.request.priority >= sequence.request.priority]
        return max(many, key=lambda one: (self._held[one.sharer], rank(one)), default=None)
