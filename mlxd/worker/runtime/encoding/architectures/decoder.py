"""Models that generate, and make vectors and scores, too: mlx-lm's own classes, of which the layers' last vectors are taken.

A token sees those before it only, so padding at the end of a row changes nothing.
"""

from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.utils import _get_classes
from typing_extensions import override

from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.runtime.encoding.architecture import AnsweringEncoder, Architecture, Encoder, ScoringHead
from mlxd.worker.runtime.encoding.attending import attending_so
from mlxd.worker.runtime.encoding.padded import PaddedBatch

_OUTSIDE = ("model.", "lm_head.", "score.")  # what names of tensors begin with; of models saved without a head, "model." is left out

_OWN_CODE = ("AutoModel", "AutoModelForSequenceClassification")  # where transformers finds a class that makes vectors, or scores


class DecoderEncoder(AnsweringEncoder):
    """The layers of a model of mlx-lm. It can answer ``with_logits`` of its own, where these are not those of its embeddings."""

    def __init__(self, model: Any, *, with_logits: bool) -> None:
        super().__init__()
        self.width, self.vocab_size = int(model.args.hidden_size), int(model.args.vocab_size)
        self.inner = model.model
        self._has_head = with_logits and "lm_head" in model
        if self._has_head:
            self.lm_head = model.lm_head

    @override
    def __call__(self, batch: PaddedBatch) -> mx.array:
        with attending_so():
            hidden: mx.array = self.inner(batch.tokens)
        return hidden

    @override
    def logits(self, vectors: mx.array) -> mx.array:
        found: mx.array = self.lm_head(vectors) if self._has_head else self.inner.embed_tokens.as_linear(vectors)
        return found


class LastTokenHead(ScoringHead):
    """A linear layer behind the last token's vector."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.last = nn.Linear(width, 1, bias=False)

    @override
    def __call__(self, hidden: mx.array, batch: PaddedBatch) -> mx.array:
        logits: mx.array = self.last(batch.of_last(hidden))
        return logits[:, 0]


class Decoder(Architecture):
    """A type of model of mlx-lm."""

    names = (
        (r"model\.(.*)", r"encoder.inner.\1"),
        (r"lm_head\.(.*)", r"encoder.lm_head.\1"),
        (r"score\.(.*)", r"head.last.\1"),
    )

    @override
    def encoder(self, config: JsonDocument) -> Encoder:
        self._check(config)
        return DecoderEncoder(_made(config), with_logits=False)

    @override
    def answerer(self, config: JsonDocument) -> AnsweringEncoder:
        self._check(config)
        return DecoderEncoder(_made(config), with_logits=True)

    @override
    def head(self, config: JsonDocument) -> ScoringHead:
        return LastTokenHead(int(_made(config).args.hidden_size))

    @override
    def weights(self, found: dict[str, mx.array], config: JsonDocument) -> dict[str, mx.array]:
        """Has mlx-lm's class put them right first, as it expects them."""
        whole = {name if name.startswith(_OUTSIDE) else f"model.{name}": value for name, value in found.items()}
        model = _made(config)
        whole = model.sanitize(whole) if hasattr(model, "sanitize") else whole
        return super().weights(whole, config)

    def _check(self, config: JsonDocument) -> None:
        """Raises ``ModelSourceError`` for a model whose tokens see those behind them, or may do so: its own code decides that."""
        if config.get("is_causal") is False:
            raise config.wrong("is_causal", "true: of this type, models that see both ways are not known here")
        if config.get("use_bidirectional_attention") is True:
            raise config.wrong("use_bidirectional_attention", "false: of this type, models that see both ways are not known here")
        own = config.part("auto_map")
        for key in _OWN_CODE:
            if own is not None and own.get(key) is not None:
                raise own.wrong(key, "nothing: what code of the model's own makes of texts is not known here, and it is not run")


def _made(config: JsonDocument) -> Any:
    """Returns a model of mlx-lm without its weights."""
    kind, arguments = _get_classes(config.values)
    return kind(arguments.from_dict(config.values))
