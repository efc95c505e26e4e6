"""Attention row by row, over slices of a store: by grouped matrix products, or by the fused kernel, whichever the device is faster with.

On a CPU grouped products are 1.4 to 1.6 times faster than the fallback of the fused kernel, which repeats keys for each query head.
On Metal the fused kernel is the right one: with one row it takes slices of keys and values as they are.
"""

from collections.abc import Sequence
from functools import reduce

import mlx.core as mx

from mlxd.worker.runtime.paged.attention.attention import Layer
from mlxd.worker.runtime.paged.attention.partial import Partial, attend, attend_partly, attend_runs, group, ungroup
from mlxd.worker.runtime.paged.attention.parts import Mutual, Own, Part, Parts, Together
from mlxd.worker.runtime.paged.attention.plan import AttentionPlan
from mlxd.worker.runtime.paged.key_value_store import KeyValueStore
from mlxd.worker.runtime.paged.slots import Slots

_AT_ONCE = 256  # rows of a prompt: the scores of more leave the processor's caches, and more of them are masked
_SCORES_BYTES = 512 * 2**20  # that rows of a prompt take at once: where many heads see a long context, fewer rows
_FEWEST = 16


def grouped_attention(queries: mx.array, layer: Layer, plan: AttentionPlan) -> mx.array:
    """Attends by grouped matrix products. With short contexts, operations are what costs: there are six for a row that attends alone."""
    rows, heads, dim = queries.shape
    kv_heads = layer.store.kv_heads
    scaled = _scaled(queries, layer).reshape(rows, kv_heads, heads // kv_heads, dim)
    outputs = [_grouped_part(q, layer, part) for q, part in zip(_split(scaled, plan.parts), plan.parts.parts, strict=True)]
    return plan.parts.by_row(_joined(outputs).reshape(rows, heads, -1)).astype(queries.dtype)


def fused_attention(queries: mx.array, layer: Layer, plan: AttentionPlan) -> mx.array:
    """Attends by the fused kernel. What that cannot do, several sets of keys for one query, is done by grouped products."""
    outputs = [_fused_part(q, layer, part) for q, part in zip(_split(queries, plan.parts), plan.parts.parts, strict=True)]
    return plan.parts.by_row(_joined(outputs))


def _scaled(queries: mx.array, layer: Layer) -> mx.array:
    """Returns scaled queries in float32, as scores are: most scales are no power of two, and would round what they scale."""
    return queries.astype(mx.float32) * layer.scale


def _split(queries: mx.array, parts: Parts) -> Sequence[mx.array]:
    """Returns the rows of each part."""
    ordered = parts.by_part(queries)
    if not parts.bounds:
        return [ordered]
    split: list[mx.array] = mx.split(ordered, list(parts.bounds), axis=0)  # type: ignore[assignment]
    return split


def _grouped_part(queries: mx.array, layer: Layer, part: Part) -> mx.array:
    """Attends with ``[rows, kv_heads, group, head_dim]`` and returns the same shape."""
    if isinstance(part, Together):
        return _together(queries, layer, part)
    if part.count == 1 and len(part.context) > 1:
        return attend_runs(queries, layer.store, part.context, layer.sinks)
    most = _at_once(queries.shape[1] * queries.shape[2], part.length)
    if part.count > most:
        blocks = part.blocks(most, layer.window)
        rows = mx.split(queries, [block.first - part.first for block in blocks[1:]], axis=0)
        return mx.concatenate([_grouped_part(q, layer, block) for q, block in zip(rows, blocks, strict=True)])
    grouped = group(queries)
    mask = None if part.count == 1 else _mask(part, layer.window)
    if layer.sinks is not None:
        output = attend_partly(grouped, layer.store, part.context, mask).with_sinks(layer.sinks, part.count)
    else:
        output = attend(grouped, layer.store, part.context, mask)
    return ungroup(output, part.count)


def _at_once(heads: int, length: int) -> int:
    """Returns how many rows attend at once with so many heads, to a context of so many tokens."""
    return max(_FEWEST, min(_AT_ONCE, _SCORES_BYTES // (4 * heads * length)))


def _fused_part(queries: mx.array, layer: Layer, part: Part) -> mx.array:
    """Attends with ``[rows, heads, head_dim]`` and returns the same shape."""
    rows, heads, dim = queries.shape
    if isinstance(part, Together) or (part.count == 1 and len(part.context) > 1) or not layer.store.fuses(rows):
        kv_heads = layer.store.kv_heads
        scaled = _scaled(queries, layer).reshape(rows, kv_heads, heads // kv_heads, dim)
        return _grouped_part(scaled, layer, part).reshape(rows, heads, -1).astype(queries.dtype)
    mask = _fused_mask(part, layer.window)
    output = layer.store.fused(queries.swapaxes(0, 1)[None], part.context, scale=layer.scale, mask=mask, sinks=layer.sinks)
    return output[0].swapaxes(0, 1)


def _together(queries: mx.array, layer: Layer, part: Together) -> mx.array:
    """Attends with ``[rows, kv_heads, group, head_dim]`` and returns the same shape. The shared keys are read once for all rows, the tails
    one by one.
    """
    rows = len(part.rows)
    own = [_partial(q, layer.store, tail) for q, tail in zip(mx.split(queries, rows, axis=0), part.tails, strict=True)]
    tails = Partial(group(mx.concatenate([one.output for one in own])), group(mx.concatenate([one.total for one in own])))
    shared = attend_partly(group(queries), layer.store, [part.shared])
    return ungroup(shared.merged(tails).with_sinks(layer.sinks, rows), rows)


def _partial(queries: mx.array, store: KeyValueStore, context: Sequence[Slots]) -> Partial:
    return reduce(Partial.merged, (attend_partly(queries, store, [slots]) for slots in context))


def _fused_mask(part: Own, window: int | None) -> str | mx.array | None:
    """Returns the mask of a part's rows, as the fused kernel takes it."""
    if part.count == 1:
        return None
    is_causal = not isinstance(part, Mutual) and (window is None or part.length <= window)
    return "causal" if is_causal else _mask(part, window)


def _mask(part: Own, window: int | None) -> mx.array | None:
    """Returns what each row of a part sees of its context, ``[rows, keys]``; None where that is all of it."""
    if not isinstance(part, Mutual):
        return _banded(part.count, part.length, window)
    if window is None or part.length <= window:
        return None
    last = part.length - part.behind
    return mx.arange(part.length)[None] > mx.arange(last - part.count, last)[:, None] - window


def _banded(rows: int, length: int, window: int | None) -> mx.array:
    """Returns a mask by which each of the last ``rows`` of ``length`` tokens sees itself, and what is before it, up to ``window`` tokens in
    all.
    """
    query = mx.arange(length - rows, length)[:, None]
    key = mx.arange(length)[None]
    return key <= query if window is None or length <= window else (key <= query) & (key > query - window)


def _joined(outputs: Sequence[mx.array]) -> mx.array:
    return outputs[0] if len(outputs) == 1 else mx.concatenate(list(outputs), axis=0)
