"""Whose prompts a step computes: half of what it has for prompts goes by rank, half to whoever has least left to compute.

So no prompt waits longer than twice what it waited if all went by rank, nor than twice what it takes to compute it and those that have less
left: of two orders that share a device, each is half as fast as alone.
"""

from collections.abc import Iterable
from collections.abc import Sequence as List

from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.step_budget import LEAST

_SHARE = 0.5


class Overtaking:
    """The tokens for those that overtake. Where half of a step is not worth its calls, every other step is theirs as a whole."""

    def __init__(self) -> None:
        self._saved = 0.0
        self._least = 0

    def begin(self, whole: int) -> None:
        """Begins a step that has ``whole`` tokens for prompts."""
        if not whole:
            return
        share = _SHARE * whole
        self._least = min(whole, LEAST)
        self._saved = min(share if share >= LEAST else whole, self._saved + share)

    def left_for(self, sequence: Sequence) -> int:
        """Returns how many tokens it may have before its turn; 0 where a part of it so small is not worth a call."""
        left = int(self._saved)
        return left if left >= min(self._least, sequence.remaining) else 0

    def spend(self, tokens: int) -> None:
        """Takes what was planned off."""
        self._saved -= tokens


def overtaking(prompts: List[Sequence], first: Sequence | None) -> list[Sequence]:
    """Returns those of ``prompts`` that have less left than ``first``, or all where there is none; the one with least goes first. A better
    priority counts before that. The prompts of one request are together as long as their sum.
    """
    work = _work(prompts)

    def key(sequence: Sequence) -> tuple[int, int]:
        return sequence.request.priority, work[sequence.sharer]

    ahead = prompts if first is None else [one for one in prompts if one.sharer != first.sharer and key(one) < key(first)]
    return sorted(ahead, key=key)


def _work(prompts: Iterable[Sequence]) -> dict[str, int]:
    """Returns the tokens that are left of each request; answers to one prompt compute it once."""
    by_prompt: dict[tuple[str, int], int] = {}
    for one in prompts:
        name = one.sharer, id(one.request.prompt)
        by_prompt[name] = max(by_prompt.get(name, 0), one.remaining)
    work: dict[str, int] = {}
    for (sharer, _), tokens in by_prompt.items():
        work[sharer] = work.get(sharer, 0) + tokens
    return work
