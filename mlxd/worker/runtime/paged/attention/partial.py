"""Attention over disjoint sets of keys, and its merge.

Exact: with outputs o1, o2 over two sets and their log-sum-exps l1, l2, the output over both is ``w * o1 + (1 - w) * o2`` with
``w = sigmoid(l1 - l2)`` (as in cascade inference, FlashInfer). Scores, sums and merges are float32 whatever the model's type, as they
are inside a fused kernel; only weights are rounded to it before they meet values, as they are there.

Shapes: queries of all heads that share a KV head lie together, ``[1, kv_heads, N, head_dim]`` with ``N = rows * heads / kv_heads``.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import mlx.core as mx

from mlxd.worker.runtime.paged.key_value_store import KeyValueStore
from mlxd.worker.runtime.paged.slots import Slots
from mlxd.worker.runtime.x86 import MANY, exp, has_slow_exponentials


@dataclass(frozen=True)
class Partial:
    """The attention over some keys: ``output`` ``[1, kv_heads, N, head_dim]`` and ``total``, the log-sum-exp of the scores, ``[1, kv_heads,
    N, 1]``; float32.
    """

    output: mx.array
    total: mx.array

    def merged(self, other: "Partial") -> "Partial":
        """Returns the attention over the keys of both."""
        weight = mx.sigmoid(self.total - other.total)
        return Partial(weight * self.output + (1 - weight) * other.output, mx.logaddexp(self.total, other.total))

    def with_sinks(self, sinks: mx.array | None, rows: int) -> mx.array:
        """Returns the output once attention sinks ``[heads]`` have joined the denominator, with no value (gpt-oss)."""
        if sinks is None:
            return self.output
        heads = self.total.shape[1]
        per_row = sinks.astype(mx.float32).reshape(1, heads, 1, -1)  # [1, H, 1, G]
        spread = mx.broadcast_to(per_row, (1, heads, rows, per_row.shape[3])).reshape(1, heads, -1, 1)
        return self.output * mx.sigmoid(self.total - spread)


def attend_partly(queries: mx.array, store: KeyValueStore, where: Sequence[Slots], mask: mx.array | None = None) -> Partial:
    """Attends with ``queries`` that are scaled already. ``mask`` ``[rows, keys]`` tells what each row may see of ``where``."""
    scores = _masked(store.scores(queries, where), mask)
    highest = mx.max(scores, axis=-1, keepdims=True)
    weights = exp(scores - highest)  # once: exponentials are what attention costs on a CPU
    total = mx.sum(weights, axis=-1, keepdims=True)
    return Partial(_mixed(weights, total, store, where), highest + mx.log(total))


def attend(queries: mx.array, store: KeyValueStore, where: Sequence[Slots], mask: mx.array | None = None) -> mx.array:
    """Attends as ``attend_partly``, over all keys there are. The output is of the type of the values."""
    if has_slow_exponentials() and queries.shape[1] * queries.shape[2] * sum(map(len, where)) >= MANY:
        return attend_partly(queries, store, where, mask).output.astype(store.dtype)
    return store.mix(mx.softmax(_masked(store.scores(queries, where), mask), axis=-1), where)


def attend_runs(queries: mx.array, store: KeyValueStore, context: Sequence[Slots], sinks: mx.array | None = None) -> mx.array:
    """Attends with one row over several runs, each read in place: their scores are few, and joined for one softmax."""
    scores = [store.scores(queries, [slots]) for slots in context]
    if sinks is not None:
        scores.append(sinks.astype(mx.float32).reshape(*queries.shape[:-1], 1))
    weights = mx.softmax(mx.concatenate(scores, axis=-1), axis=-1).astype(store.dtype)
    bounds = list(itertools.accumulate(len(slots) for slots in context))
    parts = mx.split(weights, bounds if sinks is not None else bounds[:-1], axis=-1)
    outputs = (store.mix(part, [slots]).astype(mx.float32) for part, slots in zip(parts, context, strict=False))
    return reduce(mx.add, outputs).astype(store.dtype)


def _masked(scores: mx.array, mask: mx.array | None) -> mx.array:
    """Returns the scores ``[1, kv_heads, N, keys]``, minus infinity where ``mask`` ``[rows, keys]`` forbids."""
    if mask is None:
        return scores
    rows, length = mask.shape
    return mx.where(mask[:, None], scores.reshape(1, scores.shape[1], rows, -1, length), -mx.inf).reshape(scores.shape)


def _mixed(weights: mx.array, total: mx.array, store: KeyValueStore, where: Sequence[Slots]) -> mx.array:
    """Returns the output ``[1, kv_heads, N, head_dim]``, float32, of ``weights`` whose sum is ``total``. In half precision they are divided
    first: the sum of some thousand values would overflow float16.
    """
    if store.dtype == mx.float32:
        return store.mix(weights, where) / total
    return store.mix(weights / total, where).astype(mx.float32)


def group(queries: mx.array) -> mx.array:
    """Turns ``[rows, kv_heads, group, head_dim]`` into ``[1, kv_heads, N, head_dim]``; one row is so already."""
    rows, kv_heads, size, dim = queries.shape
    return queries if rows == 1 else queries.swapaxes(0, 1).reshape(1, kv_heads, rows * size, dim)


def ungroup(output: mx.array, rows: int) -> mx.array:
    """Turns ``[1, kv_heads, N, head_dim]`` into ``[rows, kv_heads, group, head_dim]``."""
    _, kv_heads, _, dim = output.shape
    return output if rows == 1 else output.reshape(kv_heads, rows, -1, dim).swapaxes(0, 1)
