"""An end to the calls of an answer before it runs out of tokens."""

from copy import copy

from typing_extensions import override

from mlxd.worker.engine.constraint import TokenConstraint
from mlxd.worker.text.constraints.vocabulary import Vocabulary, allows_any

_ROOM = 2  # calls of one answer differ in length


class CallsInTime(TokenConstraint):
    """A constraint on an answer of at most ``max_tokens`` that must be calls: behind a call it lets another begin only where one twice as
    long as the longest so far still fits. A small model that repeats itself would else be cut off in the middle of one, and nobody can
    read its arguments.
    """

    def __init__(self, inner: TokenConstraint, vocabulary: Vocabulary, max_tokens: int) -> None:
        self._inner = inner
        self._vocabulary = vocabulary
        self._left = max_tokens
        self._longest = 0  # tokens from one possible end to the next
        self._since_end = 0

    @override
    def allowed(self) -> bytes | None:
        mask = self._inner.allowed()
        if mask is None or not allows_any(mask, self._vocabulary.ends):
            return mask
        self._longest, self._since_end = max(self._longest, self._since_end), 0
        return mask if self._left > _ROOM * self._longest else self._vocabulary.mask(self._vocabulary.ends)

    @override
    def accept(self, token: int) -> None:
        self._inner.accept(token)
        self._left -= 1
        self._since_end += 1

    @override
    def copy(self) -> "CallsInTime":
        other = copy(self)
        other._inner = self._inner.copy()  # noqa: SLF001 - its own kind
        return other
