"""A model that encodes, whole: an encoder with what makes a vector, or a score, of what it says of tokens."""

from collections.abc import Sequence

import mlx.core as mx
from mlx import nn

from mlxd.worker.encoded_input import EncodedInput
from mlxd.worker.facts.encoding.description import EncodingDescription
from mlxd.worker.facts.encoding.scoring import ScoreKind
from mlxd.worker.runtime.encoding.architecture import AnsweringEncoder, Architecture, Encoder, ScoringHead
from mlxd.worker.runtime.encoding.padded import PaddedBatch
from mlxd.worker.runtime.encoding.pooler import pool
from mlxd.worker.runtime.encoding.vector_layers import make_layers, normalized


class EncodingModel(nn.Module):  # type: ignore[misc]  # mlx ships no types
    """A model of an ``architecture``, as its files describe it. It computes in the type of its weights; vectors and scores are float32."""

    def __init__(self, description: EncodingDescription, architecture: Architecture) -> None:
        """Raises ``ModelSourceError`` that names what in the files cannot be."""
        super().__init__()
        config = description.directory.config
        scoring = description.scoring
        answers = scoring is not None and scoring.kind is ScoreKind.TOKENS
        self.encoder: Encoder = architecture.answerer(config) if answers else architecture.encoder(config)
        if scoring is not None and scoring.kind is ScoreKind.HEAD:
            self.head: ScoringHead = architecture.head(config)
        if description.path.layers:
            self.layers = make_layers(description.path.layers)
        self._description = description
        self._tokens = (0, 0)

    def answer_by(self, true: int, false: int | None) -> None:
        """Sets the tokens by which pairs are scored: the logit of the one, less that of the other where there is one."""
        self._tokens = (true, -1 if false is None else false)

    def vectors(self, inputs: Sequence[EncodedInput]) -> mx.array:
        """Returns the vectors of texts, ``[texts, dimension]`` in float32."""
        batch = PaddedBatch(inputs)
        return self._pooled(self.encoder(batch), batch)

    def scores(self, inputs: Sequence[EncodedInput]) -> mx.array:
        """Returns the scores of pairs, ``[pairs]`` in float32."""
        batch = PaddedBatch(inputs)
        scoring = self._description.scoring
        assert scoring is not None  # noqa: S101 - whoever asks has read the task
        hidden = self.encoder(batch)
        match scoring.kind:
            case ScoreKind.HEAD:
                logits = self.head(hidden, batch)
            case ScoreKind.TOKENS:
                logits = self._answers(hidden, batch)
            case ScoreKind.LAYERS:
                logits = self._pooled(hidden, batch)[:, 0]
        logits = logits.astype(mx.float32)
        return mx.sigmoid(logits) if scoring.sigmoid else logits

    def _answers(self, hidden: mx.array, batch: PaddedBatch) -> mx.array:
        assert isinstance(self.encoder, AnsweringEncoder)  # noqa: S101 - it was made so
        logits = self.encoder.logits(batch.of_last(hidden)).astype(mx.float32)
        true, false = self._tokens
        return logits[:, true] if false < 0 else logits[:, true] - logits[:, false]

    def _pooled(self, hidden: mx.array, batch: PaddedBatch) -> mx.array:
        pooling, path = self._description.pooling, self._description.path
        assert pooling is not None  # noqa: S101 - what makes vectors has one
        vectors = pool(hidden, batch, pooling)
        for layer in self.layers if path.layers else ():
            vectors = layer(vectors).astype(mx.float32)
        return normalized(vectors) if path.normalized else vectors
