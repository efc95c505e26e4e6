"""Attention of models that encode: every token sees all others, those in a window, or those before it.

A GPU has a kernel for it. On a CPU, MLX's fallback has all scores in memory, 4 GB for a text of 8,192 tokens and 16 heads, and computes
exponentials slowly on x86: there it is done for some rows, or some queries, at a time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import mlx.core as mx

from mlxd.worker.runtime.library_import import replaced
from mlxd.worker.runtime.x86 import softmax

_SCORES = 4 * 2**20  # at once: 16 MiB
_FEWEST = 16  # queries
_FUSED = "scaled_dot_product_attention"

Mask = mx.array | Literal["causal"] | None
_original = mx.fast.scaled_dot_product_attention


def attend(of: tuple[mx.array, mx.array, mx.array], scale: float, mask: Mask, bias: mx.array | None = None) -> mx.array:
    """Returns what queries make of values, ``[rows, heads, length, dim]``. ``of`` are queries, keys and values, of which the latter two may
    have fewer heads; ``mask`` tells what is seen, and has their axes; "causal" means nothing that comes later. A ``bias`` is added to the
    scores of all rows, ``[1, heads, length, length]``.
    """
    queries, keys, values = of
    if mx.default_device().type != mx.DeviceType.cpu:
        return _original(queries, keys, values, scale=scale, mask=mask if bias is None else _biased(bias, mask))
    rows, heads, length, _ = queries.shape
    queries, keys, values = queries * scale, _repeated(keys, heads), _repeated(values, heads)
    scores = heads * length * length  # of a row
    together = max(1, _SCORES // scores)
    most = length if scores <= _SCORES else max(_FEWEST, _SCORES // (heads * length))
    outputs = []
    for first in range(0, rows, together):
        cut = slice(first, first + together)
        outputs.append(_in_pieces(queries[cut], keys[cut], values[cut], _of_rows(mask, cut), most, bias))
    return outputs[0] if len(outputs) == 1 else mx.concatenate(outputs, axis=0)


@contextmanager
def attending_so() -> Iterator[None]:
    """Has graphs of other libraries that are built within attend so on a CPU; on a GPU, as ever."""
    if mx.default_device().type != mx.DeviceType.cpu:
        yield
        return
    with replaced(mx.fast, _FUSED, _instead):
        yield


def _instead(queries: mx.array, keys: mx.array, values: mx.array, scale: float, mask: Mask = None, **others: object) -> mx.array:
    if any(value is not None for value in others.values()) or queries.shape[2] != keys.shape[2]:
        return _original(queries, keys, values, scale=scale, mask=mask, **others)  # type: ignore[arg-type]
    return attend((queries, keys, values), scale, mask)


def _in_pieces(queries: mx.array, keys: mx.array, values: mx.array, mask: Mask, most: int, bias: mx.array | None) -> mx.array:  # noqa: PLR0913, PLR0917
    """Attends with at most so many queries at a time."""
    length = queries.shape[2]
    outputs = []
    for first in range(0, length, most):
        cut = slice(first, min(first + most, length))
        if isinstance(mask, str):
            seen = mx.arange(cut.start, cut.stop)[:, None] >= mx.arange(cut.stop)[None]
            outputs.append(_attended(queries[:, :, cut], keys[:, :, : cut.stop], values[:, :, : cut.stop], seen))
        else:
            some = mask if mask is None or mask.shape[2] == 1 else mask[:, :, cut]
            outputs.append(_attended(queries[:, :, cut], keys, values, some, None if bias is None else bias[:, :, cut]))
    return outputs[0] if len(outputs) == 1 else mx.concatenate(outputs, axis=2)


def _attended(queries: mx.array, keys: mx.array, values: mx.array, mask: mx.array | None, bias: mx.array | None = None) -> mx.array:
    scores = queries @ keys.swapaxes(-1, -2)
    if bias is not None:
        scores = scores + bias
    if mask is not None:
        scores = mx.where(mask, scores, mx.finfo(scores.dtype).min)
    return softmax(scores.astype(mx.float32)).astype(values.dtype) @ values


def _biased(bias: mx.array, mask: Mask) -> mx.array:
    """Returns a bias that hides what is not seen."""
    return mx.where(mask, bias, mx.finfo(bias.dtype).min) if isinstance(mask, mx.array) else bias


def _of_rows(mask: Mask, some: slice) -> Mask:
    return mask[some] if isinstance(mask, mx.array) and mask.shape[0] > 1 else mask


def _repeated(values: mx.array, heads: int) -> mx.array:
    """Returns as many heads as queries have, where several of these share one."""
    return values if values.shape[1] == heads else mx.repeat(values, heads // values.shape[1], axis=1)
