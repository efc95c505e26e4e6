"""What decides how long attention takes in a layer, and whether it is right: sizes and types, not values."""

from collections import Counter
from dataclasses import dataclass

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.runtime.paged.attention.attention import Attention, Layer
from mlxd.worker.runtime.paged.attention.plan import AttentionPlan
from mlxd.worker.runtime.paged.key_value_store import StoreKind


@dataclass(frozen=True)
class LayerShape:
    """The shape of a layer's queries, keys and values, how these are stored, and what else its attention is told. ``dtype`` is the type of
    what comes out of the store.
    """

    heads: int
    kv_heads: int
    dim: int
    value_dim: int
    dtype: mx.Dtype
    scale: float
    window: int | None
    has_sinks: bool
    kind: StoreKind

    @property
    def token_bytes(self) -> int:
        """Returns the bytes of one token's key and value, as they come out of the store."""
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
        sizes = (heads, store.kv_heads, dim, output.shape[-1], store.dtype)
        self.shapes[LayerShape(*sizes, layer.scale, layer.window, layer.sinks is not None, store.kind)] += 1
        return output
