"""What one step may spend on prompts, and on which."""

from collections.abc import Sequence as List
from dataclasses import dataclass

from mlxd.types import Limits
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.step_budget import StepBudget

_BEGINNING = 8  # steps: so many of a stream's first ones may be late for prompts that came before it was heard

_LEAST = 8  # tokens: what is left for one more prompt is not worth its own attention in every layer, if it is less

_MULTIPLE = 64  # tokens: chunks of few lengths use the same buffers again, and on a GPU the same compiled kernels
_FINER = 16  # of shorter chunks, of which that would take too much
_SHORT = 4 * _MULTIPLE


@dataclass
class PromptBudget:
    """Requests that come together begin together: prompts that were there before any of the streams had its first token disturb none
    of them, as long as all are at their beginning. Else the first of a burst would hold up the others at half the device's pace. A prompt
    that takes longer than that beginning does is not among them: it would hold up the streams, and be no sooner done.

    ``heard`` counts the sequences there were when the first stream had its first token; None while none has.
    """

    together: int  # tokens, for these prompts
    beside: int  # tokens, for the others
    heard: int | None
    spent: int = 0

    @classmethod
    def of(cls, decoding: List[Sequence], budget: StepBudget, limits: Limits, share: float = 1.0) -> "PromptBudget":
        """Returns the budget of a step in which all of ``decoding`` get a token, and prompts have a ``share`` of what is left."""
        rows = len(decoding)
        beside = budget.beside(limits, decode_rows=rows, guesses=sum(one.drafted for one in decoding), share=share) if rows else 0
        are_beginning = all(one.turns <= _BEGINNING for one in decoding)
        is_measured = rows > 0 and not beside  # what streams take alone: so nothing else may be in the step
        together = budget.undisturbed(limits, decode_rows=rows, share=share) if are_beginning and not is_measured else beside
        return cls(together, beside, min((one.heard for one in decoding if one.heard is not None), default=None))

    def left_for(self, sequence: Sequence) -> int:
        """Returns the tokens that a prompt may have now; 0 where a part of it so small is not worth a call."""
        whole = self.whole_for(sequence)
        left = max(0, whole - self.spent)
        return left if left >= min(_LEAST, whole // 8) else 0

    def whole_for(self, sequence: Sequence) -> int:
        """Returns the tokens of the step that a prompt may have if no other one has any."""
        if self.heard is None:
            return self.together
        is_together = sequence.number < self.heard and sequence.remaining <= _BEGINNING * self.together
        return self.together if is_together else self.beside

    @property
    def is_spent(self) -> bool:
        """Tells whether nothing is left for any prompt."""
        return self.spent >= self.whole

    @property
    def whole(self) -> int:
        """Returns the most tokens that prompts may have, all of them together."""
        return max(self.together, self.beside)


def chunk_length(most: int, left: int) -> int:
    """Returns how many tokens of a prompt that has ``left`` to compute are computed, where a step has room for ``most``."""
    if left <= most or most < 4 * _FINER:
        return min(left, most)
    return most - most % (_MULTIPLE if most >= _SHORT else _FINER)
