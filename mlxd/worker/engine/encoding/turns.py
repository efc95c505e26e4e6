"""Whose texts a step computes: every other step goes by rank, every other one to those that have less left to compute than who is first.

So a single text never waits for thousands of somebody else's, and these go on: with as much time as all that overtake them together.
"""

from collections.abc import Iterator

from mlxd.worker.engine.encoding.pending import Pending
from mlxd.worker.engine.waiting_line import WaitingLine


class Turns:
    """The requests that have texts left; ``ageing`` is in seconds, as ``WaitingLine`` has it."""

    def __init__(self, ageing: float) -> None:
        self._line: WaitingLine[Pending] = WaitingLine(ageing)
        self._by_rank = False  # the last step went by rank

    def __len__(self) -> int:
        """Returns how many requests there are."""
        return len(self._line)

    def __iter__(self) -> Iterator[Pending]:
        """Yields first those that go first by rank."""
        return iter(self._line)

    def age_by(self, seconds: float) -> None:
        """Makes so many seconds of waiting be worth a level of priority."""
        self._line.ageing = seconds

    def add(self, pending: Pending) -> None:
        """Takes a request in."""
        self._line.add(pending)

    def remove(self, pending: Pending) -> None:
        """Takes a request out. Raises ``ValueError`` if it is not there."""
        self._line.remove(pending)

    def take(self) -> list[Pending]:
        """Returns those whose turn the next step is, in their order. All others wait."""
        overtaking = self._overtaking() if self._by_rank else []
        self._by_rank = not overtaking
        return overtaking or list(self._line)

    def _overtaking(self) -> list[Pending]:
        first, *others = self._line
        ahead = [one for one in others if _key(one) < _key(first)]
        return sorted(ahead, key=_key)


def _key(pending: Pending) -> tuple[int, int]:
    """Returns what counts among those that overtake: a better priority before anything else."""
    return pending.request.priority, pending.tokens
