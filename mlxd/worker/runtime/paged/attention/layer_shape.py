"""What decides how long attention takes in a layer, and whether it is right: sizes and types, not values."""

from collections import Counter
from dataclasses import dataclass

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.runtime.paged.attention.attention import Attention, Layer
from mlxd.worker.runtime.paged.attention.plan import AttentionPlan


@dataclass(frozen=True)
class LayerShape:
    """The shape of a layer's queries, keys and values, and what else its attention is told."""

    heads: int
    kv_heads: int
    dim: int
    value_dim: int
    dtype: mx.Dtype
    scale: float
    window: int | None
    has_sinks: bool

    @property
    def token_bytes(self) -> int:
        """Returns the bytes of one token's key and value."""
        return self.kv_heads * (self.dim + self.value_dim) * self.dtype.size


class Observed(Attention):
    """A way to attend that remembers the shapes of the layers that it was used for."""

    def __init__(self, attention: Attention) -> None:
        self.attention = attention
        self.shapes: Counter[LayerShape] = Counter()

    @override
    def __call__(self, queries: mx.array, layer: Layer, plan: AttentionPlan) -> mx.array:
        output = self.attention(queries, layer, plan)
        _, heads, dim = queries.shape
        store = layer.store
        shape = LayerShape(heads, store.kv_heads, dim, output.shape[-1], store.dtype, layer.scale, layer.window, layer.sinks is not None)
        self.shapes[shape] += 1
        return output
