"""Attention of vision towers on a CPU: a few queries at a time.

A tower attends to all patches of a picture at once. MLX's fallback of its fused kernel has all scores in memory then, a gigabyte and more
for some five thousand patches, and takes seconds for them, in which nobody else is served. So towers are given another function while
their graphs are built. It leaves what it makes where evaluation can be interrupted, and computes exponentials as fast as the machine can.
(Of 12 blocks of 384, 4096 patches beside a stream with a target of 200 ms: its gaps were up to 2.7 s, and are up to 0.3 s.)
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import mlx.core as mx
from mlx import nn

from mlxd.worker.runtime.library_import import replaced
from mlxd.worker.runtime.x86 import MANY, softmax

_SCORES = 4 * 2**20  # of one slice: some hundredths of a second
_FEWEST = 16  # queries
_FUSED, _PADDED = "scaled_dot_product_attention", "ensure_fused_sdpa"  # MLX's, and mlx-vlm's, which pads for that, and is compiled

_original: Callable[..., mx.array] = mx.fast.scaled_dot_product_attention


class TowerAttention:
    """The attention of ``tower``. ``take`` is told of the outputs of slices, in the order in which they are computed."""

    def __init__(self, tower: nn.Module, take: Callable[[mx.array], None]) -> None:
        names = {type(module).__module__ for module in tower.modules()}
        self._padding = [sys.modules[name] for name in sorted(names) if hasattr(sys.modules[name], _PADDED)]
        self._take = take

    @contextmanager
    def sliced(self) -> Iterator[None]:
        """Has graphs that are built within attend so; on a GPU, as ever."""
        with ExitStack() as stack:
            if mx.default_device().type == mx.DeviceType.cpu:
                stack.enter_context(replaced(mx.fast, _FUSED, self._attend))
                for module in self._padding:
                    stack.enter_context(replaced(module, _PADDED, self._attend))
            yield

    def _attend(
        self, queries: mx.array, keys: mx.array, values: mx.array, scale: float, mask: mx.array | None = None, **others: object
    ) -> mx.array:
        """Attends with ``[B, heads, N, dim]`` to as many heads; ``mask`` is added to scores, or tells what is seen, and has their axes."""
        length = queries.shape[2]
        scores = queries.shape[0] * queries.shape[1] * keys.shape[2]  # of one query
        if others or isinstance(mask, str) or queries.shape[1] != keys.shape[1] or scores * length < MANY:
            return _original(queries, keys, values, scale=scale, mask=mask, **others)
        together = max(_FEWEST, _SCORES // scores)
        slices = [slice(first, first + together) for first in range(0, length, together)]
        outputs = [_attended(queries[:, :, some] * scale, keys, values, _of_rows(mask, some)) for some in slices]
        if len(outputs) == 1:
            return outputs[0]
        for output in outputs:
            self._take(output)
        return mx.concatenate(outputs, axis=2)


def _of_rows(mask: mx.array | None, some: slice) -> mx.array | None:
    return mask if mask is None or mask.shape[-2] == 1 else mask[..., some, :]


def _attended(queries: mx.array, keys: mx.array, values: mx.array, mask: mx.array | None) -> mx.array:
    scores = queries.astype(mx.float32) @ keys.astype(mx.float32).swapaxes(-1, -2)
    if mask is not None:
        scores = mx.where(mask, scores, -mx.inf) if mask.dtype == mx.bool_ else scores + mask
    return softmax(scores).astype(values.dtype) @ values
