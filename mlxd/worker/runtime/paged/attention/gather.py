"""Attention of all rows that decode at once, over copies of what they see: as many operations for one row as for many, and each key and
value is copied. Rows of prompts attend as ever.
"""

import itertools
from collections.abc import Sequence

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.runtime.paged.attention.attention import Attention, Layer
from mlxd.worker.runtime.paged.attention.decode_rows import DecodeRows
from mlxd.worker.runtime.paged.attention.decoding import DecodeAttention
from mlxd.worker.runtime.x86 import softmax


class Gather(DecodeAttention):
    """The way to attend by gathering, with ``others`` for rows of prompts. It is ``fused`` where the device has a fused kernel."""

    def __init__(self, others: Attention, *, fused: bool) -> None:
        super().__init__(others)
        self._decode = _fused if fused else _grouped

    @override
    def decode(self, queries: mx.array, layer: Layer, rows: DecodeRows) -> mx.array:
        return self._decode(queries, layer, rows)


def _grouped(queries: mx.array, layer: Layer, rows: DecodeRows) -> mx.array:
    """Attends with ``[B, heads, head_dim]`` and returns that shape, but for the values' dimension. Scores are float32, and there is one
    softmax over all that a row sees, wherever it is.
    """
    count, heads, dim = queries.shape
    taken = [layer.store.take(read.pick) for read in rows.reads]
    kv_heads = layer.store.kv_heads
    scaled = (queries.astype(mx.float32) * layer.scale).reshape(count, kv_heads, heads // kv_heads, dim)
    scores = [_scores(scaled, keys, read.mask) for (keys, _), read in zip(taken, rows.reads, strict=True)]
    if layer.sinks is not None:
        sinks = layer.sinks.astype(mx.float32).reshape(1, kv_heads, -1, 1)
        scores.append(mx.broadcast_to(sinks, (count, *sinks.shape[1:])))
    weights = softmax(scores[0] if len(scores) == 1 else mx.concatenate(scores, axis=-1))
    return _mixed(weights, _values(taken, rows)).reshape(count, heads, -1).astype(queries.dtype)


def _scores(queries: mx.array, keys: mx.array, mask: mx.array) -> mx.array:
    return mx.where(mask, queries @ keys.astype(mx.float32).swapaxes(-1, -2), -mx.inf)


def _mixed(weights: mx.array, values: Sequence[mx.array]) -> mx.array:
    """Returns the values' sums by ``weights`` ``[B, kv_heads, group, L]``, whose last column may be a sink's: it has no value."""
    bounds = list(itertools.accumulate(one.shape[2] for one in values))
    if bounds[-1] == weights.shape[-1]:
        bounds.pop()
    parts = mx.split(weights, bounds, axis=-1) if bounds else [weights]
    mixed = [part.astype(one.dtype) @ one for part, one in zip(parts, values, strict=False)]
    return mixed[0] if len(mixed) == 1 else sum((one.astype(mx.float32) for one in mixed[1:]), mixed[0].astype(mx.float32))


def _fused(queries: mx.array, layer: Layer, rows: DecodeRows) -> mx.array:
    """Attends as above, by MLX's kernel."""
    taken = [layer.store.take(read.pick) for read in rows.reads]
    keys, values, mask = (
        _joined([keys for keys, _ in taken], 2),
        _joined(_values(taken, rows), 2),
        _joined([read.mask for read in rows.reads], 3),
    )
    output: mx.array = mx.fast.scaled_dot_product_attention(
        queries[:, :, None], keys, values, scale=layer.scale, mask=mask, sinks=layer.sinks
    )
    return output[:, :, 0]


def _values(taken: Sequence[tuple[mx.array, mx.array]], rows: DecodeRows) -> list[mx.array]:
    """Returns the values of each segment. Of several there may be one in which a row sees nothing: what was copied is another's."""
    if len(taken) == 1:
        return [taken[0][1]]
    masks = (read.mask.swapaxes(-1, -2) for read in rows.reads)
    return [mx.where(mask, values, 0) for (_, values), mask in zip(taken, masks, strict=True)]


def _joined(parts: Sequence[mx.array], axis: int) -> mx.array:
    return parts[0] if len(parts) == 1 else mx.concatenate(list(parts), axis=axis)
