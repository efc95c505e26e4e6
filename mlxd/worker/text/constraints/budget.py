"""The budget of an answer's reasoning."""

from copy import copy

from typing_extensions import override

from mlxd.worker.engine.constraint import TokenConstraint
from mlxd.worker.text.constraints.reasoning import ReasoningForm
from mlxd.worker.text.constraints.vocabulary import Vocabulary, allows_any

_TAIL = 64  # characters that the search for a marker begins before


class ThinkingBudget(TokenConstraint):
    """A constraint that lets so many tokens of reasoning pass, then closes it, token by token. ``inner``, if there is one, limits the whole
    answer and sees every token; where it does not let reasoning end, in the middle of a character, it goes first.
    """

    def __init__(self, budget: int, form: ReasoningForm, vocabulary: Vocabulary, inner: TokenConstraint | None, *, is_inside: bool) -> None:
        self._budget = budget
        self._form = form
        self._vocabulary = vocabulary
        self._inner = inner
        self._closing = vocabulary.tokens(form.closing)
        self._left = budget
        self._is_inside = is_inside
        self._is_over = False
        self._text = ""  # the last that came, since the last marker
        self._forced: list[int] = list(self._closing) if is_inside and budget <= 0 else []

    @override
    def allowed(self) -> bytes | None:
        mask = None if self._inner is None else self._inner.allowed()
        if self._forced and (mask is None or allows_any(mask, self._forced[:1])):
            return self._vocabulary.mask(self._forced[:1])
        return mask

    @override
    def accept(self, token: int) -> None:
        if self._inner is not None:
            self._inner.accept(token)
        if self._forced and token == self._forced[0]:
            self._forced.pop(0)
            self._is_over = not self._forced and not self._form.repeats
            self._is_inside = bool(self._forced)
        elif not self._is_over:
            if len(self._forced) < len(self._closing):
                self._forced = []  # the grammar goes on otherwise
            self._watch(self._vocabulary.text(token))

    @override
    def copy(self) -> "ThinkingBudget":
        other = copy(self)
        other._inner = None if self._inner is None else self._inner.copy()  # noqa: SLF001 - its own kind
        other._forced = list(self._forced)  # noqa: SLF001
        return other

    def _watch(self, text: str) -> None:
        self._text = (self._text + text)[-_TAIL - len(text) :]
        if self._is_inside:
            self._think()
        elif self._form.opens in self._text:
            self._is_inside, self._text = True, ""
            self._close_if_spent()
        elif not self._form.repeats and not self._form.opens.startswith(self._text.lstrip()[: len(self._form.opens)]):
            self._is_over = True  # only the beginning of an answer is reasoning

    def _think(self) -> None:
        if self._form.closes in self._text:
            self._is_inside, self._text = False, ""
            self._is_over, self._forced = not self._form.repeats, []
        else:
            self._left -= 1
            self._close_if_spent()

    def _close_if_spent(self) -> None:
        if self._left <= 0 and not self._forced:
            self._forced = list(self._closing)
