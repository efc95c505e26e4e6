"""What the engine asks of whatever limits an answer's next token: a grammar, a budget of reasoning, or one after the other."""

from typing import Protocol


class TokenConstraint(Protocol):
    """A limit on the tokens of one answer. One thread uses it at a time. What it raises ends its answer, and no other."""

    def allowed(self) -> bytes | None:
        """Returns which tokens may come next: bit ``i`` of little-endian 32-bit words, as many as hold the vocabulary, says whether token
        ``i`` may; None where every token may. One at least may: where nothing can follow, an end token.
        """

    def accept(self, token: int) -> None:
        """Takes the token that came, end tokens included."""

    def copy(self) -> "TokenConstraint":
        """Returns another constraint on the same answer, which has taken the same tokens; what either takes from now on is nothing to the
        other.
        """
