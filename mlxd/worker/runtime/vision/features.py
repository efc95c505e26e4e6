"""What a vision tower makes of a picture or film."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import mlx.core as mx


@dataclass(frozen=True)
class Features:
    """The embeddings ``[N, hidden]`` that stand in the place of placeholders, and those that are added behind each of the first layers, of
    the same shape (DeepStack, Qwen3-VL).
    """

    embeddings: mx.array
    deep: tuple[mx.array, ...] = ()

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Returns all of ``parts``, one after the other."""
        if len(parts) == 1:
            return parts[0]
        deep = tuple(mx.concatenate(list(layer)) for layer in zip(*(part.deep for part in parts), strict=True))
        return cls(mx.concatenate([part.embeddings for part in parts]), deep)

    def part(self, first: int, stop: int) -> Self:
        """Returns those from ``first`` to ``stop``, as views."""
        return type(self)(self.embeddings[first:stop], tuple(layer[first:stop] for layer in self.deep))

    @property
    def tensors(self) -> list[mx.array]:
        """Returns all there is, to be evaluated."""
        return [self.embeddings, *self.deep]

    @property
    def nbytes(self) -> int:
        """Returns the bytes that they take."""
        return sum(tensor.nbytes for tensor in self.tensors)


@dataclass(frozen=True)
class Shown:
    """What tokens of one call of the model show: those at ``rows`` ``[N]``, counted through the batch, the ``features`` ``[N, hidden]``.
    ``positions`` ``[3, B, n]`` are of all tokens of the call, for a model that rotates by time, height and width; None where it does not.
    """

    rows: mx.array
    features: Features
    positions: mx.array | None = None
