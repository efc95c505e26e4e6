"""Attention over slices of the arenas: by grouped matrix products, or by the fused kernel, whichever the device is faster with.

On a CPU grouped products are 1.4 to 1.6 times faster than the fallback of the fused kernel, which repeats keys for each query head.
On Metal the fused kernel is the right one: with one row it takes slices of keys and values as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import mlx.core as mx

from mlxd.worker.runtime.paged.arenas import Arenas, Slots
from mlxd.worker.runtime.paged.attention_plan import Alone, AttentionPlan, Part, Together
from mlxd.worker.runtime.paged.partial import Partial, attend_partly, attend_runs, group, masked_scores, ungroup


@dataclass(frozen=True)
class Layer:
    """What a layer attends with. ``sinks`` ``[heads]``: logits that join each row's denominator (gpt-oss)."""

    arenas: Arenas
    scale: float
    window: int | None = None
    sinks: mx.array | None = None


class Attention(Protocol):
    """How a device attends."""

    def __call__(self, queries: mx.array, layer: Layer, plan: AttentionPlan) -> mx.array:
        """``queries`` ``[T, heads, head_dim]``; the outputs, in the order of the rows."""


def grouped_attention(queries: mx.array, layer: Layer, plan: AttentionPlan) -> mx.array:
    """Queries are grouped once for all parts, and outputs ungrouped once: with short contexts, operations are what costs."""
    grouped = group(plan.by_part(queries), layer.arenas.kv_heads, layer.scale)  # [H, T * G, D]
    size = grouped.shape[1] // queries.shape[0]
    split = mx.split(grouped, [bound * size for bound in plan.bounds], axis=1) if plan.bounds else [grouped]
    outputs = [_grouped_part(part_queries, layer, part) for part_queries, part in zip(split, plan.parts, strict=True)]
    return plan.by_row(ungroup(_joined(outputs, axis=1), queries.shape[0]))


def fused_attention(queries: mx.array, layer: Layer, plan: AttentionPlan) -> mx.array:
    """What the fused kernel cannot do, several sets of keys for one query, is done by grouped products."""
    ordered = plan.by_part(queries)
    split = mx.split(ordered, list(plan.bounds), axis=0) if plan.bounds else [ordered]
    outputs = [_fused_part(part_queries, layer, part) for part_queries, part in zip(split, plan.parts, strict=True)]
    return plan.by_row(_joined(outputs, axis=0))


def _grouped_part(queries: mx.array, layer: Layer, part: Part) -> mx.array:
    """``[H, rows * G, D]`` to the same."""
    if isinstance(part, Together):
        return _together(queries, layer, part)
    if part.count == 1 and len(part.context) > 1:
        return attend_runs(queries, layer.arenas, part.context).with_sinks(layer.sinks, 1).astype(queries.dtype)
    keys, values = _gathered(layer.arenas, part.context)
    mask = None if part.count == 1 else _banded(part.count, keys.shape[1], layer.window)
    if layer.sinks is not None:
        return attend_partly(queries, keys, values, mask).with_sinks(layer.sinks, part.count).astype(queries.dtype)
    return mx.softmax(masked_scores(queries, keys, mask), axis=-1).astype(values.dtype) @ values


def _fused_part(queries: mx.array, layer: Layer, part: Part) -> mx.array:
    """``[rows, heads, head_dim]`` to the same."""
    if isinstance(part, Together) or (part.count == 1 and len(part.context) > 1):
        output = _grouped_part(group(queries, layer.arenas.kv_heads, layer.scale), layer, part)
        return ungroup(output, queries.shape[0])
    keys, values = _gathered(layer.arenas, part.context)
    out: mx.array = mx.fast.scaled_dot_product_attention(
        queries.swapaxes(0, 1)[None],
        keys[None],
        values[None],
        scale=layer.scale,
        mask=_fused_mask(part.count, keys.shape[1], layer.window),
        sinks=layer.sinks,
    )
    return out[0].swapaxes(0, 1)


def _together(queries: mx.array, layer: Layer, part: Together) -> mx.array:
    """The shared keys are read once for all rows, the tails one by one."""
    own = [attend_runs(q, layer.arenas, tail) for q, tail in zip(mx.split(queries, len(part.rows), axis=1), part.tails, strict=True)]
    tails = Partial(mx.concatenate([one.output for one in own], axis=1), mx.concatenate([one.total for one in own], axis=1))
    shared = attend_partly(queries, *layer.arenas.read(part.shared))
    return shared.merged(tails).with_sinks(layer.sinks, len(part.rows)).astype(queries.dtype)


def _gathered(arenas: Arenas, context: Sequence[Slots]) -> tuple[mx.array, mx.array]:
    """One run as it lies in its arena; several copied together, once for a whole chunk."""
    slices = [arenas.read(slots) for slots in context]
    if len(slices) == 1:
        return slices[0]
    return mx.concatenate([keys for keys, _ in slices], axis=1), mx.concatenate([values for _, values in slices], axis=1)


def _fused_mask(rows: int, length: int, window: int | None) -> str | mx.array | None:
    """For the last ``rows`` of ``length`` tokens."""
    if rows == 1:
        return None
    return "causal" if window is None or length <= window else _banded(rows, length, window)


def _banded(rows: int, length: int, window: int | None) -> mx.array:
    """Row ``i`` of the last ``rows`` of ``length`` tokens sees itself, and what is before it, up to ``window`` tokens in all."""
    query = mx.arange(length - rows, length)[:, None]
    key = mx.arange(length)[None]
    return key <= query if window is None or length <= window else (key <= query) & (key > query - window)


def _joined(outputs: Sequence[mx.array], axis: int) -> mx.array:
    return outputs[0] if len(outputs) == 1 else mx.concatenate(list(outputs), axis=axis)
