"""Attention of all rows that decode at once, by a kernel that finds keys and values where they are: nothing is copied."""

from functools import reduce

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.runtime.paged.attention.attention import Attention, Layer
from mlxd.worker.runtime.paged.attention.decode_rows import DecodeRows
from mlxd.worker.runtime.paged.attention.decoding import DecodeAttention
from mlxd.worker.runtime.paged.attention.kernel.decode_kernel import Attended, DecodeKernel


class KernelAttention(DecodeAttention):
    """The way to attend by a ``kernel``, called once for every arena that rows have blocks in."""

    def __init__(self, others: Attention, kernel: DecodeKernel) -> None:
        super().__init__(others)
        self._kernel = kernel

    @override
    def decode(self, queries: mx.array, layer: Layer, rows: DecodeRows) -> mx.array:
        segments = [self._kernel(queries, *layer.store.arena(seen.arena), seen, layer.scale) for seen in rows.segments]
        whole = reduce(Attended.merged, segments)
        output = whole.output if layer.sinks is None else whole.with_sinks(layer.sinks)
        return output.astype(queries.dtype)
