"""How often guesses are right, learned from those that were. It is pure."""

from dataclasses import dataclass, field

_OF_ALL = 0.98  # what an observation weighs once another one is made, of all sequences together
_OF_ONE = 0.85  # the same, of one sequence
# What is thought before anything was observed: of a first guess, and of one behind a right one. The more tokens agree before a place that
# is looked up, the likelier it goes on alike. Only guesses of a model must be tried to know more of them.
_FIRST = {"model": 0.6, "lookup-1": 0.1, "lookup-2": 0.25, "lookup-3": 0.4, "lookup-4": 0.6, "lookup-8": 0.8, "lookup-16": 0.9}
_LATER = {"model": 0.7, "lookup-1": 0.4, "lookup-2": 0.5, "lookup-3": 0.6, "lookup-4": 0.75, "lookup-8": 0.9, "lookup-16": 0.95}
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


@dataclass
class _Kind:
    """Of guesses of one kind: the first ones, and those behind right ones."""

    first: _Share = field(default_factory=_Share)
    later: _Share = field(default_factory=_Share)

    def observe(self, guessed: int, right: int, keep: float) -> None:
        self.first.observe(1, min(right, 1), keep)
        if right and guessed > 1:
            self.later.observe(min(right, guessed - 1), right - 1, keep)

    def observe_each(self, guessed: int, right: int, keep: float) -> None:
        self.first.observe(min(guessed, right + 1), right, keep)

    def fade(self, keep: float) -> None:
        self.first.fade(keep)
        self.later.fade(keep)


class Acceptance:
    """The shares of one sequence. What it does not know itself it has from ``beyond``, those of all sequences."""

    def __init__(self, beyond: "Acceptance | None" = None) -> None:
        self._beyond = beyond
        self._keep = _OF_ALL if beyond is None else _OF_ONE
        self._kinds: dict[str, _Kind] = {}

    def observe(self, kind: str, guessed: int, right: int) -> None:
        """Learns that of so many guesses the first ``right`` were right: those behind the first wrong one say nothing."""
        self._kinds.setdefault(kind, _Kind()).observe(guessed, right, self._keep)
        if self._beyond is not None:
            self._beyond.observe(kind, guessed, right)

    def observe_each(self, kind: str, guessed: int, right: int) -> None:
        """Learns the same of a kind of which a guess behind right ones is as likely as the first: those of a model. ``first`` is the chance
        of each.
        """
        self._kinds.setdefault(kind, _Kind()).observe_each(guessed, right, self._keep)
        if self._beyond is not None:
            self._beyond.observe_each(kind, guessed, right)

    def fade(self, kind: str) -> None:
        """Lets what is known count a little less, for nobody tries whether it is still so: some day it is tried again."""
        if kind in self._kinds:
            self._kinds[kind].fade(1 - (1 - self._keep) / _RARELY)
        if self._beyond is not None:
            self._beyond.fade(kind)

    def first(self, kind: str) -> float:
        """Returns the chance of a first guess of this kind."""
        before = _FIRST.get(kind, _OTHERS) if self._beyond is None else self._beyond.first(kind)
        return self._kinds.get(kind, _Kind()).first.estimate(before)

    def later(self, kind: str) -> float:
        """Returns the chance of a guess behind a right one."""
        before = _LATER.get(kind, _OTHERS) if self._beyond is None else self._beyond.later(kind)
        return self._kinds.get(kind, _Kind()).later.estimate(before)
