"""How many tokens of an answer were reasoning."""

from collections.abc import Iterable

from mlxd.wire.parts import Reasoning
from mlxd.worker.text.parsers.parser import Hidden, Parsed, ReasoningMarker


class ReasoningTokens:
    """A count of the tokens that add reasoning or complete one of its markers. A token of which nothing is told yet, such as the first of
    a marker's, counts as the next one of which something is.
    """

    def __init__(self) -> None:
        self.count = 0
        self._undecided = 0

    def push(self, parsed: Iterable[Parsed]) -> None:
        """Takes what one token told."""
        self._undecided += 1
        self.push_rest(parsed)

    def push_rest(self, parsed: Iterable[Parsed]) -> None:
        """Takes what the end of the answer told."""
        told = [one for one in parsed if isinstance(one, ReasoningMarker) or not isinstance(one, Hidden)]
        if any(isinstance(one, Reasoning | ReasoningMarker) for one in told):
            self.count += self._undecided
        if told:
            self._undecided = 0
