"""Attention over slices of the arenas.

Partial attention and its merge are exact: with outputs o1, o2 over two disjoint sets of keys and their
log-sum-exps l1, l2, the output over both is ``w * o1 + (1 - w) * o2`` with ``w = sigmoid(l1 - l2)`` (as in cascade
inference, FlashInfer). Scores are float32 whatever the model's type.

Shapes: queries ``[T, heads, head_dim]``, grouped by KV head to ``[kv_heads, rows * group, head_dim]``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import mlx.core as mx

from mlxd.worker.runtime.paged.arenas import Arenas, Slots
from mlxd.worker.runtime.paged.attention_plan import Alone, AttentionPlan, Together

Partial = tuple[mx.array, mx.array]  # output [H, N, D] and log-sum-exp [H, N, 1], float32


@dataclass(frozen=True)
class Layer:
    """What a layer attends with. ``sinks`` ``[heads]``: logits that join each row's denominator (gpt-oss)."""

    arenas: Arenas
    scale: float
    window: int | None = None
    sinks: mx.array | None = None


class Attention:
    """How one device attends: fused kernels where they are the right ones (a GPU), grouped matrix products elsewhere
    (on a CPU 1.4 to 1.6 times faster than the fused kernel's fallback, which repeats keys for each query head).
    """

    def __init__(self, *, fused: bool) -> None:
        self._fused = fused

    def attend(self, queries: mx.array, layer: Layer, plan: AttentionPlan) -> mx.array:
        """``[T, heads, head_dim]``, in the order of the rows."""
        outputs = [self._alone(queries, layer, part) if isinstance(part, Alone) else _together(queries, layer, part) for part in plan.parts]
        output = outputs[0] if len(outputs) == 1 else mx.concatenate(outputs, axis=0)
        return output if plan.order is None else output[plan.order]

    def _alone(self, queries: mx.array, layer: Layer, part: Alone) -> mx.array:
        """``[count, heads, head_dim]``."""
        q = queries[part.first : part.first + part.count]  # [n, Hq, D]
        if part.count == 1 and len(part.context) > 1 and not self._fused:
            return _merged(q, layer, part.context)
        keys, values = _gather(layer.arenas, part.context)
        mask = _mask(part.count, keys.shape[1], layer.window)
        if self._fused:
            fast = mx.fast.scaled_dot_product_attention
            out = fast(q.swapaxes(0, 1)[None], keys[None], values[None], scale=layer.scale, mask=mask, sinks=layer.sinks)
            return out[0].swapaxes(0, 1)
        grouped = _group(q, keys.shape[0], layer.scale)
        return _ungroup(_product(grouped, keys, values, _boolean(mask, part.count, keys.shape[1]), layer.sinks), part.count)


def _merged(q: mx.array, layer: Layer, context: Sequence[Slots]) -> mx.array:
    """One decode row over several runs, without gathering them."""
    slices = [layer.arenas.read(slots) for slots in context]
    grouped = _group(q, slices[0][0].shape[0], layer.scale)
    output, total = reduce(_merge, (_partial(grouped, keys, values) for keys, values in slices))
    return _ungroup(_sink(output, total, layer.sinks).astype(q.dtype), 1)


def _together(queries: mx.array, layer: Layer, part: Together) -> mx.array:
    """The shared keys are read once for all rows, the tails one by one."""
    rows = part.rows
    consecutive = rows[-1] - rows[0] + 1 == len(rows)
    q = queries[rows[0] : rows[-1] + 1] if consecutive else queries[mx.array(rows)]
    keys, values = layer.arenas.read(part.shared)
    grouped = _group(q, keys.shape[0], layer.scale)  # [H, B * G, D]
    size = grouped.shape[1] // len(rows)
    tails = [
        reduce(_merge, (_partial(grouped[:, at * size : (at + 1) * size], *layer.arenas.read(slots)) for slots in tail))
        for at, tail in enumerate(part.tails)
    ]
    tail = mx.concatenate([output for output, _ in tails], axis=1), mx.concatenate([total for _, total in tails], axis=1)
    output, total = _merge(_partial(grouped, keys, values), tail)
    return _ungroup(_sink(output, total, layer.sinks, len(rows)).astype(q.dtype), len(rows))


def _partial(q: mx.array, keys: mx.array, values: mx.array) -> Partial:
    scores = (q @ keys.swapaxes(-1, -2)).astype(mx.float32)
    total = mx.logsumexp(scores, axis=-1, keepdims=True)
    return (mx.exp(scores - total).astype(values.dtype) @ values).astype(mx.float32), total


def _merge(one: Partial, other: Partial) -> Partial:
    weight = mx.sigmoid(one[1] - other[1])
    return weight * one[0] + (1 - weight) * other[0], mx.logaddexp(one[1], other[1])


def _sink(output: mx.array, total: mx.array, sinks: mx.array | None, rows: int = 1) -> mx.array:
    """Attention sinks join the denominator once, with no value."""
    if sinks is None:
        return output
    heads = total.shape[0]
    per_row = sinks.astype(mx.float32).reshape(heads, 1, -1)  # [H, 1, G]
    return output * mx.sigmoid(total - mx.broadcast_to(per_row, (heads, rows, per_row.shape[2])).reshape(heads, -1, 1))


def _product(q: mx.array, keys: mx.array, values: mx.array, mask: mx.array | None, sinks: mx.array | None) -> mx.array:
    """``q`` ``[H, n * G, D]``, ``mask`` ``[n, L]``."""
    scores = (q @ keys.swapaxes(-1, -2)).astype(mx.float32)
    if mask is not None:
        rows, length = mask.shape
        scores = mx.where(mask[None, :, None], scores.reshape(scores.shape[0], rows, -1, length), -mx.inf).reshape(scores.shape)
    output = mx.softmax(scores, axis=-1).astype(values.dtype) @ values
    if sinks is None:
        return output
    rows = 1 if mask is None else mask.shape[0]
    return _sink(output.astype(mx.float32), mx.logsumexp(scores, axis=-1, keepdims=True), sinks, rows).astype(values.dtype)


def _gather(arenas: Arenas, context: Sequence[Slots]) -> tuple[mx.array, mx.array]:
    slices = [arenas.read(slots) for slots in context]
    if len(slices) == 1:
        return slices[0]
    return mx.concatenate([keys for keys, _ in slices], axis=1), mx.concatenate([values for _, values in slices], axis=1)


def _group(q: mx.array, kv_heads: int, scale: float) -> mx.array:
    """``[n, Hq, D]`` to ``[H, n * G, D]``, scaled."""
    rows, heads, dim = q.shape
    return (q * scale).reshape(rows, kv_heads, heads // kv_heads, dim).swapaxes(0, 1).reshape(kv_heads, -1, dim)


def _ungroup(output: mx.array, rows: int) -> mx.array:
    """``[H, n * G, D]`` to ``[n, Hq, D]``."""
    kv_heads, _, dim = output.shape
    return output.reshape(kv_heads, rows, -1, dim).swapaxes(0, 1).reshape(rows, -1, dim)


def _mask(rows: int, length: int, window: int | None) -> str | mx.array | None:
    """For the last ``rows`` of ``length`` tokens."""
    if rows == 1:
        return None
    if window is None or length <= window:
        return "causal"
    return _banded(rows, length, window)


def _boolean(mask: str | mx.array | None, rows: int, length: int) -> mx.array | None:
    return _banded(rows, length, length) if isinstance(mask, str) else mask


def _banded(rows: int, length: int, window: int) -> mx.array:
    query = mx.arange(length - rows, length)[:, None]
    key = mx.arange(length)[None]
    return (key <= query) & (key > query - window)
