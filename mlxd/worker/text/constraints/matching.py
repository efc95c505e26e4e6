"""The constraint of a grammar."""

from llguidance import LLMatcher
from typing_extensions import override

from mlxd.errors import GenerationError
from mlxd.worker.engine.constraint import TokenConstraint
from mlxd.worker.text.constraints.vocabulary import Vocabulary


class GrammarConstraint(TokenConstraint):
    """A constraint that a matcher keeps. A failed matcher says nothing and allows only the end, so it is asked at every step."""

    def __init__(self, matcher: LLMatcher, vocabulary: Vocabulary) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._is_ended = False

    @override
    def allowed(self) -> bytes | None:
        if self._is_ended:
            return self._vocabulary.mask(self._vocabulary.ends)
        mask = self._matcher.compute_bitmask()
        self._require()
        return mask[: self._vocabulary.mask_bytes]

    @override
    def accept(self, token: int) -> None:
        if self._is_ended:
            return
        self._matcher.consume_token(token)
        self._require()
        self._is_ended = token in self._vocabulary.ends

    @override
    def copy(self) -> "GrammarConstraint":
        other = GrammarConstraint(self._matcher.deep_copy(), self._vocabulary)
        other._is_ended = self._is_ended
        return other

    def _require(self) -> None:
        if self._matcher.is_error():
            reason = " ".join(self._matcher.get_error().split())[:300] or "no text can follow"
            raise GenerationError(f"the answer's grammar can go on no further: {reason}")
