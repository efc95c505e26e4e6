"""What changes logits before they are sampled."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import mlx.core as mx

from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledRow

_NONE = -1


@dataclass(frozen=True)
class NewTokens:
    """The next tokens of some sequences, one at least of each, ``tokens`` ``[S, K]``, possibly not evaluated yet: as many as ``lengths``
    says, and -1 behind them.
    """

    sequences: tuple[str, ...]
    lengths: tuple[int, ...]
    tokens: mx.array

    @classmethod
    def of(cls, tokens: Mapping[str, Sequence[int]]) -> "NewTokens":
        """Returns tokens that are known, by sequence."""
        most = max(map(len, tokens.values()))
        rows = [[*row, *[_NONE] * (most - len(row))] for row in tokens.values()]
        return cls(tuple(tokens), tuple(map(len, tokens.values())), mx.array(rows, dtype=mx.int32))

    def each(self) -> Iterator["NewTokens"]:
        """Yields those of each sequence apart."""
        for at, (name, length) in enumerate(zip(self.sequences, self.lengths, strict=True)):
            yield NewTokens((name,), (length,), self.tokens[at : at + 1, :length])


class LogitsProcessor(Protocol):
    """What changes the logits of the sequences of a batch that ask for it, all in one, and leaves those of others as they are."""

    def open(self, request: EngineRequest) -> None:
        """Begins with a sequence; of those that ask for nothing, nothing is kept."""

    def close(self, sequence: str) -> None:
        """Forgets a sequence, if it is known."""

    def concerns(self, sequence: str) -> bool:
        """Tells whether a sequence asks for it now."""

    def apply(self, logits: mx.array, rows: Sequence[SampledRow]) -> mx.array:
        """Turns ``logits`` ``[R, vocab]`` of ``rows`` into others of the same shape, perhaps of another type: as if the tokens that a row
        guesses had come.
        """

    def add(self, new: NewTokens) -> None:
        """Takes note of tokens that came."""
