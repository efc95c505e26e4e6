"""What min-p, top-k and top-p leave of logits."""

from collections.abc import Callable, Sequence

import mlx.core as mx

from mlxd.types import SamplingParams
from mlxd.worker.runtime.sampling.order import by_order
from mlxd.worker.runtime.sampling.remaining import Remaining
from mlxd.worker.runtime.sampling.thresholds import filtered_by_threshold


def filtered(logits: mx.array, rows: Sequence[SamplingParams]) -> list[Remaining]:
    """Returns what the filters of its row leave of ``logits`` ``[B, vocab]``, divided by temperature: min-p first, then top-k, then top-p
    over what is left. Each row is in one of the results. Rows that have no filter cost nothing but a copy.
    """
    logits = _where(logits, rows, lambda row: row.min_p > 0, _by_share)
    if prefers_thresholds():
        return [Remaining(tuple(range(len(rows))), _where(logits, rows, _is_ranked, filtered_by_threshold))]
    ranked = [at for at, row in enumerate(rows) if _is_ranked(row)]
    if len(ranked) == len(rows):
        return by_order(logits, rows)
    others = [at for at in range(len(rows)) if at not in ranked]
    if not ranked:
        return [Remaining(tuple(others), logits)]
    found = by_order(logits[mx.array(ranked)], [rows[at] for at in ranked])
    return [Remaining(tuple(others), logits[mx.array(others)]), *(one.among(ranked) for one in found)]


def prefers_thresholds() -> bool:
    """Tells whether the device that is used now had better not sort: MLX has no partial sort on a GPU, and to look whether a thousand
    tokens are enough would be to wait for it. A CPU finds a thousand of them sooner than it adds up histograms.
    """
    return mx.default_device().type == mx.DeviceType.gpu


def _is_ranked(row: SamplingParams) -> bool:
    return row.top_k > 0 or row.top_p < 1


def _where(
    logits: mx.array,
    rows: Sequence[SamplingParams],
    has: Callable[[SamplingParams], bool],
    filter_: Callable[[mx.array, Sequence[SamplingParams]], mx.array],
) -> mx.array:
    """Returns the logits with those rows filtered that have it."""
    having = [at for at, row in enumerate(rows) if has(row)]
    if not having:
        return logits
    if len(having) == len(rows):
        return filter_(logits, rows)
    places, others = mx.array(having), mx.array(logits)
    others[places] = filter_(logits[places], [rows[at] for at in having])
    return others


def _by_share(logits: mx.array, rows: Sequence[SamplingParams]) -> mx.array:
    """Takes away what is less likely than its row's share of the most likely."""
    least = mx.log(mx.array([row.min_p for row in rows]))[:, None]
    return mx.where(logits >= mx.max(logits, axis=-1, keepdims=True) + least, logits, -mx.inf)
