"""What ways to attend have in common that work on all rows that decode at once."""

from abc import ABC, abstractmethod

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.runtime.paged.attention.attention import Attention, Layer
from mlxd.worker.runtime.paged.attention.decode_rows import DecodeRows
from mlxd.worker.runtime.paged.attention.plan import AttentionPlan


class DecodeAttention(Attention, ABC):
    """A way to attend for rows that decode. Those of prompts attend as ``others`` do."""

    def __init__(self, others: Attention) -> None:
        self._others = others

    @override
    def __call__(self, queries: mx.array, layer: Layer, plan: AttentionPlan) -> mx.array:
        if not plan.split.decoding:
            return self._others(queries, layer, plan)
        if not plan.split.prompts:
            return self.decode(queries, layer, plan.decode_rows)
        decoding, rest = plan.split.apart(queries)
        outputs = self.decode(decoding, layer, plan.decode_rows), self._others(rest, layer, plan.prompts)
        return plan.split.together(*outputs)

    @abstractmethod
    def decode(self, queries: mx.array, layer: Layer, rows: DecodeRows) -> mx.array:
        """Returns the outputs for ``queries`` ``[B, heads, head_dim]``, of that shape but for the values' dimension, and of their type."""
