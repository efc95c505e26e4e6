"""Top-k and top-p by order: the most likely tokens are found and sorted, for each of the rows as many as any of them may want."""

from collections.abc import Sequence

import mlx.core as mx

from mlxd.types import SamplingParams
from mlxd.worker.runtime.x86 import exp

_CANDIDATES = 1024  # of the vocabulary, most likely: top-p seldom wants more


def filtered_by_order(logits: mx.array, rows: Sequence[SamplingParams]) -> mx.array:
    """Returns ``logits`` ``[B, vocab]``, divided by temperature, with minus infinity for what top-k, and top-p of what is left, take away.
    Of equals the first ids come first. The most likely one always stays.
    """
    whole = mx.sum(_relative(logits), axis=-1, keepdims=True)
    order = _most_likely(logits, whole, rows)
    ranked = _filter(mx.take_along_axis(logits, order, axis=-1), whole, rows)
    return mx.put_along_axis(mx.full(logits.shape, -mx.inf), order, ranked, axis=-1)


def _most_likely(logits: mx.array, whole: mx.array, rows: Sequence[SamplingParams]) -> mx.array:
    """Returns ids ``[B, N]``, the most likely first and of equals the lowest: as many as top-k and top-p may want. ``whole`` is as in
    ``_filter``.

    To find a thousand takes a CPU a tenth of the time it takes to sort them all. Whether they are enough for top-p can only be seen by
    evaluating them.
    """
    vocab = logits.shape[-1]
    count = max(_CANDIDATES, *(2 * row.top_k for row in rows))
    by_mass = [not row.top_k for row in rows]
    if count < vocab:
        found = mx.sort(mx.argpartition(-logits, count - 1, axis=-1)[:, :count], axis=-1)
        values = mx.take_along_axis(logits, found, axis=-1)
        needed = mx.array([row.top_p if counts else 0.0 for row, counts in zip(rows, by_mass, strict=True)])[:, None]
        if not any(by_mass) or mx.all(mx.sum(_relative(values), axis=-1, keepdims=True) >= needed * whole).item():
            return mx.take_along_axis(found, mx.argsort(-values, axis=-1), axis=-1)
    return mx.argsort(-logits, axis=-1)


def _filter(ranked: mx.array, whole: mx.array, rows: Sequence[SamplingParams]) -> mx.array:
    """Turns what is filtered out of ``ranked`` ``[B, N]``, most likely first, into -inf. The first of a row always stays.

    ``whole`` ``[B, 1]`` is what the probabilities of all there are amount to, relative to the first's, where top-k takes none away.
    """
    has_top_k = mx.array([row.top_k > 0 for row in rows])[:, None]
    top_k = mx.array([row.top_k for row in rows])[:, None]
    top_p = mx.array([row.top_p for row in rows])[:, None]
    rank = mx.arange(ranked.shape[-1])[None]
    ranked = mx.where(has_top_k & (rank >= top_k), -mx.inf, ranked)
    relative = _relative(ranked)
    probabilities = relative / mx.where(has_top_k, mx.sum(relative, axis=-1, keepdims=True), whole)
    before = mx.cumsum(probabilities, axis=-1) - probabilities
    return mx.where((before < top_p) | (rank == 0) | (top_p == 1), ranked, -mx.inf)


def _relative(logits: mx.array) -> mx.array:
    """Returns the probabilities, relative to the highest of their row."""
    return exp(logits - mx.max(logits, axis=-1, keepdims=True))
