"""Top-k and top-p by order: the most likely tokens are found and sorted, for each of the rows as many as any of them may want."""

from collections.abc import Sequence

import mlx.core as mx

from mlxd.types import SamplingParams
from mlxd.worker.runtime.sampling.remaining import Remaining
from mlxd.worker.runtime.x86 import exp

_CANDIDATES = 1024  # of the vocabulary, most likely: top-p seldom wants more


def by_order(logits: mx.array, rows: Sequence[SamplingParams]) -> list[Remaining]:
    """Returns what top-k, and top-p of what is left, leave of ``logits`` ``[B, vocab]``, divided by temperature. Of equals the first ids
    come first. The most likely one always stays.

    To find a thousand takes a CPU a tenth of the time it takes to sort them all. Whether they are enough for top-p can only be seen by
    evaluating them; rows where they are not are sorted.
    """
    whole = mx.sum(_relative(logits), axis=-1, keepdims=True)
    order = _most_likely(logits, max(_CANDIDATES, *(2 * row.top_k for row in rows)))
    ranked = mx.take_along_axis(logits, order, axis=-1)
    lacking = _lacking(ranked, whole, rows) if order.shape[-1] < logits.shape[-1] else []
    if not lacking:
        return [Remaining(tuple(range(len(rows))), _filter(ranked, whole, rows), order)]
    places, others = mx.array(lacking), [at for at in range(len(rows)) if at not in lacking]
    sorted_, asked = mx.argsort(-logits[places], axis=-1), [rows[at] for at in lacking]
    found = _filter(mx.take_along_axis(logits[places], sorted_, axis=-1), whole[places], asked)
    rest = by_order(logits[mx.array(others)], [rows[at] for at in others]) if others else []
    return [Remaining(tuple(lacking), found, sorted_), *(one.among(others) for one in rest)]


def _most_likely(logits: mx.array, count: int) -> mx.array:
    """Returns so many ids of each row, ``[B, count]`` or all there are, the most likely first and of equals the lowest."""
    if count >= logits.shape[-1]:
        return mx.argsort(-logits, axis=-1)
    found = mx.sort(mx.argpartition(-logits, count - 1, axis=-1)[:, :count], axis=-1)
    return mx.take_along_axis(found, mx.argsort(-mx.take_along_axis(logits, found, axis=-1), axis=-1), axis=-1)


def _lacking(ranked: mx.array, whole: mx.array, rows: Sequence[SamplingParams]) -> list[int]:
    """Returns the rows whose top-p may want more than is ``ranked``; waits for the device where one could. A row with a top-p of 1 wants
    everything, also what is lost in the rounding of the sum.
    """
    by_mass = [at for at, row in enumerate(rows) if not row.top_k]
    if not by_mass:
        return []
    needed = mx.array([row.top_p for row in rows])[:, None] * whole
    enough = (mx.sum(_relative(ranked), axis=-1, keepdims=True) >= needed)[:, 0].tolist()
    return [at for at in by_mass if rows[at].top_p == 1 or not enough[at]]  # type: ignore[index]  # a list, of a row


def _filter(ranked: mx.array, whole: mx.array, rows: Sequence[SamplingParams]) -> mx.array:
    """Turns what is filtered out of ``ranked`` ``[B, N]``, most likely first, into -inf. The first of a row always stays.

    ``whole`` ``[B, 1]`` is what the probabilities of all there are amount to, relative to the first's.
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
