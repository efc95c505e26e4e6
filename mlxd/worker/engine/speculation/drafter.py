"""What guesses the next tokens of sequences, for a step to verify: the rows of the guesses are computed beside the newest token's."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from mlxd.worker.engine.sequence import Sequence


@dataclass(frozen=True)
class Offer:
    """As many of a sequence's next tokens could be guessed as there are ``kinds``. Guesses of one kind, behind right ones, are right about
    as often: what was accepted is counted by it.

    ``tokens`` are the guesses themselves, where it takes nothing to know them: how often they are right is then learned also of those that
    nobody wanted. Those of an open offer, None, nobody knows before the step is computed: the plan leaves them open, and the executor makes
    them.
    """

    kinds: tuple[str, ...]
    tokens: tuple[int, ...] | None = None

    @property
    def is_open(self) -> bool:
        """Tells whether the guesses are yet to be made."""
        return self.tokens is None


@dataclass(frozen=True)
class Guesses:
    """So many guesses of a sequence's next tokens: ``tokens``, or, where there are fewer of these, such as the executor is to make."""

    count: int = 0
    tokens: tuple[int, ...] = ()

    def first(self, count: int) -> "Guesses":
        """Returns the first of them, so many at most."""
        return Guesses(min(count, self.count), self.tokens[:count])


class Drafter(Protocol):
    """What guesses the next tokens of sequences that decode. All calls come from the engine thread."""

    def offers(self, sequences: Collection[Sequence], most: int) -> Mapping[str, Offer]:
        """Returns what could be guessed of each, by its id, ``most`` tokens at most; of some of them perhaps nothing. It takes no time to
        speak of. Of sequences with a token in flight it is only asked what might be worth waiting for.
        """

    def close(self, sequence: str) -> None:
        """Forgets a sequence that is over, if it is known."""
