"""What every way to attend is given, and gives."""

from dataclasses import dataclass
from typing import Protocol

import mlx.core as mx

from mlxd.worker.runtime.paged.attention.plan import AttentionPlan
from mlxd.worker.runtime.paged.key_value_store import KeyValueStore


@dataclass(frozen=True)
class Layer:
    """What a layer attends with. ``sinks`` ``[heads]`` are logits that join each row's denominator (gpt-oss). ``group`` is the one whose
    blocks the keys and values lie in: 0 that of layers that see everything.
    """

    store: KeyValueStore
    scale: float
    window: int | None = None
    sinks: mx.array | None = None
    group: int = 0


class Attention(Protocol):
    """The way a device attends."""

    def __call__(self, queries: mx.array, layer: Layer, plan: AttentionPlan) -> mx.array:
        """Returns the outputs for ``queries`` ``[T, heads, head_dim]``, in the order of the rows."""
