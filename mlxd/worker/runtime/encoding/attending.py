"""Attention of encoders: every token sees all others, or those in a window.

A GPU has a kernel for it. On a CPU, MLX's fallback has all scores in memory, 4 GB for a text of 8,192 tokens and 16 heads, and computes
exponentials slowly on x86: there it is done for some rows, or some queries, at a time.
"""

import mlx.core as mx

from mlxd.worker.runtime.x86 import softmax

_SCORES = 4 * 2**20  # at once: 16 MiB
_FEWEST = 16  # queries


def attend(of: tuple[mx.array, mx.array, mx.array], scale: float, mask: mx.array | None) -> mx.array:
    """Returns what queries make of values, ``[rows, heads, length, dim]``. ``of`` are queries, keys and values, of which the latter two may
    have fewer heads; ``mask`` tells what is seen, and has their axes.
    """
    queries, keys, values = of
    if mx.default_device().type != mx.DeviceType.cpu:
        return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)
    rows, heads, length, _ = queries.shape
    keys, values = _repeated(keys, heads), _repeated(values, heads)
    scores = heads * length * length  # of a row
    if scores <= _SCORES:
        together = max(1, _SCORES // scores)
        cuts = [slice(first, first + together) for first in range(0, rows, together)]
        outputs = [_attended(queries[cut] * scale, keys[cut], values[cut], _of_rows(mask, cut)) for cut in cuts]
        return outputs[0] if len(outputs) == 1 else mx.concatenate(outputs, axis=0)
    return mx.concatenate(
        [_in_pieces(queries[one] * scale, keys[one], values[one], _of_rows(mask, one)) for one in _single(rows)],
        axis=0,
    )


def _single(rows: int) -> list[slice]:
    return [slice(row, row + 1) for row in range(rows)]


def _in_pieces(queries: mx.array, keys: mx.array, values: mx.array, mask: mx.array | None) -> mx.array:
    """Attends with one row, for some queries at a time."""
    _, heads, length, _ = queries.shape
    together = max(_FEWEST, _SCORES // (heads * length))
    outputs = []
    for first in range(0, length, together):
        cut = slice(first, first + together)
        seen = mask if mask is None or mask.shape[2] == 1 else mask[:, :, cut]
        outputs.append(_attended(queries[:, :, cut], keys, values, seen))
    return mx.concatenate(outputs, axis=2)


def _attended(queries: mx.array, keys: mx.array, values: mx.array, mask: mx.array | None) -> mx.array:
    scores = queries @ keys.swapaxes(-1, -2)
    if mask is not None:
        scores = mx.where(mask, scores, mx.finfo(scores.dtype).min)
    return softmax(scores.astype(mx.float32)).astype(values.dtype) @ values


def _of_rows(mask: mx.array | None, some: slice) -> mx.array | None:
    return mask if mask is None or mask.shape[0] == 1 else mask[some]


def _repeated(values: mx.array, heads: int) -> mx.array:
    """Returns as many heads as queries have, where several of these share one."""
    return values if values.shape[1] == heads else mx.repeat(values, heads // values.shape[1], axis=1)
