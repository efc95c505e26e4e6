"""The pieces that a vision tower's lazy graph is evaluated in: the products of matrices in it, each no larger than takes a moment.

A block of a large picture takes a second on a CPU. So what its layers multiply is cut by rows, as attention is by queries
(``TowerAttention``): the sums of each row are the same.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import mlx.core as mx
from mlx import nn

_PRODUCTS = {mx.DeviceType.cpu: 2**30, mx.DeviceType.gpu: 2**36}  # of two numbers, in one piece: tens of milliseconds
_LAYERS = (nn.Linear, nn.QuantizedLinear, nn.Conv2d, nn.Conv3d)
_PLAIN = "mlxd_plain"  # of a class that remembers: the one it is instead of


class Pieces:
    """Remembers what the layers among ``modules`` return, in order, while somebody records, and cuts what would take long."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._recorded: list[mx.array] | None = None
        self._most = _PRODUCTS[mx.default_device().type]
        kinds: dict[type, type] = {}
        for layer in modules:
            kind = getattr(type(layer), _PLAIN, type(layer))
            if kind in _LAYERS:
                layer.__class__ = kinds.setdefault(kind, _remembering(kind, self))

    @contextmanager
    def recording(self) -> Iterator[list[mx.array]]:
        """Fills a list with what is computed within, piece by piece."""
        recorded: list[mx.array] = []
        self._recorded = recorded
        try:
            yield recorded
        finally:
            self._recorded = None

    def take(self, piece: mx.array) -> None:
        """Takes in a piece that no layer has computed, such as what some queries attend to."""
        if self._recorded is not None:
            self._recorded.append(piece)

    def layer(self, compute: Callable[[mx.array], mx.array], weight: int, inputs: mx.array) -> mx.array:
        """Returns what a layer with a ``weight`` of so many numbers makes of ``inputs`` ``[..., n, in]``."""
        if self._recorded is None:
            return compute(inputs)
        products = inputs.size // inputs.shape[-1] * weight
        count = max(1, min(inputs.shape[-2], -(-products // self._most)))
        parts = [compute(part) for part in _cut(inputs, count)]
        self._recorded.extend(parts)
        return parts[0] if len(parts) == 1 else mx.concatenate(parts, axis=-2)


def _cut(array: mx.array, count: int) -> list[mx.array]:
    """Cuts ``[..., n, m]`` into pieces of about the same number of rows."""
    if count == 1:
        return [array]
    rows = array.shape[-2]
    ends = [rows * number // count for number in range(count + 1)]
    return [array[..., begin:end, :] for begin, end in pairwise(ends)]


def _remembering(kind: type, pieces: Pieces) -> type:
    """Returns a subclass of a layer's class: modules take methods from their class only."""
    is_cut = kind in {nn.Linear, nn.QuantizedLinear}

    def call(self: Any, inputs: mx.array) -> mx.array:
        packed = 32 // self.bits if kind is nn.QuantizedLinear else 1
        return pieces.layer(lambda part: kind.__call__(self, part), self.weight.size * packed if is_cut else 0, inputs)

    return type(f"Remembering{kind.__name__}", (kind,), {"__call__": call, _PLAIN: kind})
