"""What an architecture of models that encode is: an encoder, a head for scores, and how both are called in files."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

import mlx.core as mx
from mlx import nn

from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.runtime.encoding.padded import PaddedBatch

Renaming = tuple[str, str]  # a pattern of a whole name, and what takes its place


class Encoder(nn.Module, ABC):  # type: ignore[misc]  # mlx ships no types
    """An encoder that knows ``vocab_size`` tokens, and whose vectors have ``width`` numbers."""

    width: int
    vocab_size: int

    @abstractmethod
    def __call__(self, batch: PaddedBatch) -> mx.array:
        """Returns the vectors of all tokens, ``[rows, length, width]``; those of padding mean nothing."""


class AnsweringEncoder(Encoder):
    """An encoder of a model that generates: it has logits, by which some score."""

    @abstractmethod
    def logits(self, vectors: mx.array) -> mx.array:
        """Returns the logits of all tokens, ``[rows, vocab_size]``, by the vectors of the last ones, ``[rows, width]``."""


class ScoringHead(nn.Module, ABC):  # type: ignore[misc]  # mlx ships no types
    """A classifier of one label."""

    @abstractmethod
    def __call__(self, hidden: mx.array, batch: PaddedBatch) -> mx.array:
        """Returns the logit of each row, ``[rows]``, by the vectors of all tokens."""


class Architecture(ABC):
    """An architecture, by the name that configurations have for it."""

    names: Sequence[Renaming] = ()  # of tensors, in the order in which they are tried; the first that fits a whole name counts
    dropped: Sequence[str] = ()  # patterns of tensors that are of no use here

    @abstractmethod
    def encoder(self, config: JsonDocument) -> Encoder:
        """Makes the encoder without weights. Raises ``ModelSourceError`` that names what in the configuration cannot be."""

    @abstractmethod
    def head(self, config: JsonDocument) -> ScoringHead:
        """Makes the head without weights. Raises ``ModelSourceError`` where models of this kind have none that is known."""

    def answerer(self, config: JsonDocument) -> AnsweringEncoder:
        """Makes the encoder with what its logits need. Raises ``ModelSourceError`` where models of this kind have no logits."""
        raise config.wrong("model_type", "a type of models that generate: this one cannot score by the logits of tokens")

    def renamed(self, name: str) -> str | None:
        """Returns what a tensor is called here, ``encoder.`` or ``head.`` before it, or None where it is of no use."""
        if any(re.fullmatch(pattern, name) for pattern in self.dropped):
            return None
        for pattern, place in self.names:
            if re.fullmatch(pattern, name):
                return re.sub(pattern, place, name)
        return name

    def weights(self, found: dict[str, mx.array], _config: JsonDocument) -> dict[str, mx.array]:
        """Returns the tensors of a model's files by their names here."""
        return {place: value for name, value in found.items() if (place := self.renamed(name)) is not None}
