"""ModernBERT (Warner et al. 2024): rotary positions, and layers that see a window between those that see all."""

from collections.abc import Sequence
from typing import NamedTuple

import mlx.core as mx
from mlx import nn
from typing_extensions import override

from mlxd.worker.facts.encoding.pooling import Pooling, PoolingMode
from mlxd.worker.facts.encoding.values import flag, number, rotation_base, size
from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.runtime.encoding.activations import Function, activation
from mlxd.worker.runtime.encoding.architecture import Architecture, Encoder, ScoringHead
from mlxd.worker.runtime.encoding.attending import attend
from mlxd.worker.runtime.encoding.padded import PaddedBatch
from mlxd.worker.runtime.encoding.pooler import pool

_FULL, _SLIDING = "full_attention", "sliding_attention"
_BASES = {_FULL: ("global_rope_theta", 160_000.0), _SLIDING: ("local_rope_theta", 10_000.0)}  # as old configurations call them
_EVERY = 3  # layers, of which the first sees all
_WINDOW = 128  # tokens, half of them to either side


class _Shape(NamedTuple):
    """The sizes of a layer, and what differs between models."""

    width: int
    heads: int
    inner: int
    eps: float
    norm_bias: bool
    attention_bias: bool
    inner_bias: bool
    activation: Function


class _Attention(nn.Module):  # type: ignore[misc]  # mlx ships no types
    def __init__(self, shape: _Shape, base: float) -> None:
        super().__init__()
        self._heads = shape.heads
        self._dim = shape.width // shape.heads
        self.Wqkv = nn.Linear(shape.width, 3 * shape.width, bias=shape.attention_bias)
        self.Wo = nn.Linear(shape.width, shape.width, bias=shape.attention_bias)
        self._rope = nn.RoPE(self._dim, traditional=False, base=base)

    def __call__(self, hidden: mx.array, mask: mx.array | None) -> mx.array:
        rows, length, width = hidden.shape
        split = self.Wqkv(hidden).reshape(rows, length, 3, self._heads, self._dim).transpose(2, 0, 3, 1, 4)
        mixed = attend((self._rope(split[0]), self._rope(split[1]), split[2]), self._dim**-0.5, mask)
        found: mx.array = self.Wo(mixed.transpose(0, 2, 1, 3).reshape(rows, length, width))
        return found


class _Gated(nn.Module):  # type: ignore[misc]  # mlx ships no types
    def __init__(self, shape: _Shape) -> None:
        super().__init__()
        self.Wi = nn.Linear(shape.width, 2 * shape.inner, bias=shape.inner_bias)
        self.Wo = nn.Linear(shape.inner, shape.width, bias=shape.inner_bias)
        self._activation = shape.activation

    def __call__(self, hidden: mx.array) -> mx.array:
        values, gate = mx.split(self.Wi(hidden), 2, axis=-1)
        found: mx.array = self.Wo(self._activation(values) * gate)
        return found


class _Layer(nn.Module):  # type: ignore[misc]  # mlx ships no types
    def __init__(self, shape: _Shape, base: float, *, is_first: bool) -> None:
        super().__init__()
        self._is_first = is_first
        if not is_first:
            self.attn_norm = _norm(shape)
        self.attn = _Attention(shape, base)
        self.mlp_norm = _norm(shape)
        self.mlp = _Gated(shape)

    def __call__(self, hidden: mx.array, mask: mx.array | None) -> mx.array:
        hidden = hidden + self.attn(hidden if self._is_first else self.attn_norm(hidden), mask)
        found: mx.array = hidden + self.mlp(self.mlp_norm(hidden))
        return found


class ModernBertEncoder(Encoder):
    """The encoder of ModernBERT, a layer for each of the ``kinds``. A ``window`` is how far layers of one kind see to either side."""

    def __init__(self, shape: _Shape, vocab_size: int, kinds: Sequence[str], bases: dict[str, float], window: int) -> None:
        super().__init__()
        self.width, self.vocab_size = shape.width, vocab_size
        self._windows = {_FULL: None, _SLIDING: window}
        self._kinds = " ".join(kinds)
        self.words = nn.Embedding(vocab_size, shape.width)
        self.norm = _norm(shape)
        self.layers = [_Layer(shape, bases[kind], is_first=place == 0) for place, kind in enumerate(kinds)]
        self.final_norm = _norm(shape)

    @override
    def __call__(self, batch: PaddedBatch) -> mx.array:
        hidden: mx.array = self.norm(self.words(batch.tokens))
        masks = {kind: batch.mask(window) for kind, window in self._windows.items()}
        for kind, layer in zip(self._kinds.split(), self.layers, strict=True):
            hidden = layer(hidden, masks[kind])
        found: mx.array = self.final_norm(hidden)
        return found


class _Head(ScoringHead):
    """A layer and a norm behind what is pooled, and the classifier."""

    def __init__(self, config: JsonDocument) -> None:
        super().__init__()
        shape = _shape(config)
        self.first = nn.Linear(shape.width, shape.width, bias=flag(config, "classifier_bias", default=False))
        self.norm = _norm(shape)
        self.last = nn.Linear(shape.width, 1)
        self._activation = activation(config, "classifier_activation")
        self._pooling = Pooling((_classifier_pooling(config),), config.origin("classifier_pooling"))

    @override
    def __call__(self, hidden: mx.array, batch: PaddedBatch) -> mx.array:
        pooled = pool(hidden, batch, self._pooling).astype(hidden.dtype)
        logits: mx.array = self.last(self.norm(self._activation(self.first(pooled))))
        return logits[:, 0]


class ModernBert(Architecture):
    """ModernBERT, with or without a classifier."""

    names = (
        (r"(?:model\.)?embeddings\.tok_embeddings\.(\w+)", r"encoder.words.\1"),
        (r"(?:model\.)?embeddings\.norm\.(\w+)", r"encoder.norm.\1"),
        (r"(?:model\.)?layers\.(.*)", r"encoder.layers.\1"),
        (r"(?:model\.)?final_norm\.(\w+)", r"encoder.final_norm.\1"),
        (r"head\.dense\.(\w+)", r"head.first.\1"),
        (r"head\.norm\.(\w+)", r"head.norm.\1"),
        (r"classifier\.(\w+)", r"head.last.\1"),
    )
    dropped = (r"decoder\..*",)

    @override
    def encoder(self, config: JsonDocument) -> Encoder:
        bases = {kind: rotation_base(config, kind, key, base) for kind, (key, base) in _BASES.items()}
        window = (config.count("local_attention") or _WINDOW) // 2
        return ModernBertEncoder(_shape(config), size(config, "vocab_size"), _kinds(config), bases, window)

    @override
    def head(self, config: JsonDocument) -> ScoringHead:
        return _Head(config)


def _shape(config: JsonDocument) -> _Shape:
    width, heads = size(config, "hidden_size"), size(config, "num_attention_heads")
    if width % heads:
        raise config.wrong("num_attention_heads", f"a divisor of the {width} numbers of a vector")
    return _Shape(
        width=width,
        heads=heads,
        inner=size(config, "intermediate_size"),
        eps=number(config, "norm_eps", default=1e-5),
        norm_bias=flag(config, "norm_bias", default=False),
        attention_bias=flag(config, "attention_bias", default=False),
        inner_bias=flag(config, "mlp_bias", default=False),
        activation=activation(config, "hidden_activation"),
    )


def _norm(shape: _Shape) -> nn.LayerNorm:
    return nn.LayerNorm(shape.width, eps=shape.eps, bias=shape.norm_bias)


def _kinds(config: JsonDocument) -> list[str]:
    """Returns for each layer whether it sees all, or a window."""
    layers = size(config, "num_hidden_layers")
    said = config.get("layer_types")
    if said is None:
        every = config.count("global_attn_every_n_layers") or _EVERY
        return [_SLIDING if layer % every else _FULL for layer in range(layers)]
    if not isinstance(said, list) or len(said) != layers or not all(kind in _BASES for kind in said):
        raise config.wrong("layer_types", f"a list of {layers}, each {_FULL} or {_SLIDING}")
    return said


def _classifier_pooling(config: JsonDocument) -> PoolingMode:
    name = config.text("classifier_pooling") or "cls"
    if name not in (PoolingMode.CLS, PoolingMode.MEAN):
        raise config.wrong("classifier_pooling", "cls or mean")
    return PoolingMode(name)
