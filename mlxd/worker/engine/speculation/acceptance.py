"""How often guesses are right, learned from those that were. It is pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_OF_ALL = 0.98  # what an observation weighs once another one is made, of all sequences together
_OF_ONE = 0.85  # the same, of one sequence
# What is thought before anything was observed. The more tokens agree before a place that is looked up, the likelier it goes on alike, and
# behind a guess that was right it is likelier still. Only guesses of a model must be tried to know more of them.
_FIRST = {"model": 0.6, "lookup-1": 0.1, "lookup-2": 0.25, "lookup-3": 0.4, "lookup-4": 0.6, "lookup-8": 0.8, "lookup-16": 0.9}
_ON = {"lookup-1 on": 0.4, "lookup-2 on": 0.5, "lookup-3 on": 0.6, "lookup-4 on": 0.75, "lookup-8 on": 0.9, "lookup-16 on": 0.95}
_RECYCLED = {  # by how many tokens agree, and how often of late the same came behind them
    **{f"recycled-1-{sure}": chance for sure, chance in enumerate((0.12, 0.23, 0.3, 0.4))},
    **{f"recycled-2-{sure}": chance for sure, chance in enumerate((0.22, 0.4, 0.5, 0.75))},
    **{f"recycled-3-{sure}": chance for sure, chance in enumerate((0.5, 0.65, 0.7, 0.75))},
}
_BEFOREHAND = _FIRST | _ON | _RECYCLED
_OTHERS = 0.3
_RARELY = 10  # steps in which nothing is tried make one forget as much as one observation does
_BEFORE = 2.0  # observations that count for as much as what is known beforehand


@dataclass
class _Share:
    """How many of those tried were right; older ones count less."""

    tried: float = 0.0
    right: float = 0.0

    def observe(self, tried: int, right: int, keep: float) -> None:
        self.tried, self.right = keep * self.tried + tried, keep * self.right + right

    def fade(self, keep: float) -> None:
        self.tried, self.right = keep * self.tried, keep * self.right

    def estimate(self, before: float) -> float:
        return (self.right + _BEFORE * before) / (self.tried + _BEFORE)


class Acceptance:
    """The shares of one sequence. What it does not know itself it has from ``beyond``, those of all sequences."""

    def __init__(self, beyond: "Acceptance | None" = None) -> None:
        self._beyond = beyond
        self._keep = _OF_ALL if beyond is None else _OF_ONE
        self._shares: dict[str, _Share] = {}

    def observe(self, kinds: Sequence[str], right: int) -> None:
        """Learns that of guesses of these kinds the first ``right`` were right: those behind the first wrong one say nothing."""
        wrong = kinds[right] if right < len(kinds) else None
        for kind, tried in Counter(kinds[: right + 1]).items():
            self._shares.setdefault(kind, _Share()).observe(tried, tried - (kind == wrong), self._keep)
        if self._beyond is not None:
            self._beyond.observe(kinds, right)

    def fade(self, kind: str) -> None:
        """Lets what is known count a little less, for nobody tries whether it is still so: some day it is tried again."""
        if kind in self._shares:
            self._shares[kind].fade(1 - (1 - self._keep) / _RARELY)
        if self._beyond is not None:
            self._beyond.fade(kind)

    def chance(self, kind: str) -> float:
        """Returns the chance of a guess of this kind, where those before it are right."""
        before = _BEFOREHAND.get(kind, _OTHERS) if self._beyond is None else self._beyond.chance(kind)
        share = self._shares.get(kind)
        return before if share is None else share.estimate(before)
