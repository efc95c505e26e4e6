"""What came last behind each short run of tokens, in all that a model read and said: a table of fixed size.

Token recycling (Luo et al. 2024, Turning Trash into Treasure: Accelerating Inference of LLMs with Token Recycling) remembers for each token
what the model found likely behind it. Here a run of one to three tokens has the token that came behind it, and how often of late it was
that one again, as processors predict branches: tables by length of history, whose entries are replaced once they were wrong more often than
right (Seznec and Michaud 2006, A Case for (Partially) TAgged GEometric History Length Branch Prediction).
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 3  # tokens of a run
SUREST = 3  # times that a successor came again, as far as they are counted
_SLOTS = 1 << 15  # of the runs of one length
_SURE_BITS = 2


@dataclass(frozen=True)
class Successor:
    """The token that came behind the last ``size`` tokens, and how often it was that one again."""

    token: int
    size: int
    sure: int


class Successors:
    """Runs of one length share a table. Each has one place in it, where it replaces another whose successor is not sure."""

    def __init__(self) -> None:
        self._names = [array("q", bytes(8 * _SLOTS)) for _ in range(LONGEST)]
        self._successors = [array("i", bytes(4 * _SLOTS)) for _ in range(LONGEST)]  # tokens, and how sure they are

    def enter(self, tokens: Sequence[int], start: int) -> None:
        """Enters what is behind the runs before each of ``tokens`` from ``start`` on. It takes some microseconds for each."""
        for at in range(max(1, start), len(tokens)):
            token, before = tokens[at], tuple(tokens[max(0, at - LONGEST) : at])
            for size in range(1, len(before) + 1):
                self._enter(size, before[-size:], token)

    def _enter(self, size: int, run: tuple[int, ...], token: int) -> None:
        names, successors, name = self._names[size - 1], self._successors[size - 1], hash(run)
        slot = name % _SLOTS
        known = successors[slot]
        sure = known & SUREST
        if names[slot] == name and known >> _SURE_BITS == token:
            successors[slot] = known + (sure < SUREST)
        elif sure:
            successors[slot] = known - 1
        else:
            names[slot], successors[slot] = name, token << _SURE_BITS

    def behind(self, tokens: Sequence[int]) -> Successor | None:
        """Returns what came behind the longest run at the end of ``tokens`` that anything is known of."""
        tail = tuple(tokens[-LONGEST:])
        for size in range(len(tail), 0, -1):
            name = hash(tail[-size:])
            slot = name % _SLOTS
            if self._names[size - 1][slot] == name:
                known = self._successors[size - 1][slot]
                return Successor(known >> _SURE_BITS, size, known & SUREST)
        return None
