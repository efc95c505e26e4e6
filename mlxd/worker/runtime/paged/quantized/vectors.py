"""Vectors by slot in 8 bits an element: keys, or values, of one layer."""

from collections.abc import Iterator, Sequence
from functools import reduce

import mlx.core as mx

from mlxd.worker.runtime.paged.key_value_store import StoredVectors
from mlxd.worker.runtime.paged.quantized.affine import quantized
from mlxd.worker.runtime.paged.quantized.products import FEW, Products
from mlxd.worker.runtime.paged.slot_vectors import SlotVectors
from mlxd.worker.runtime.paged.slots import Pick, Scatter, Slots, Span

_CACHED_BYTES, _MOST_BYTES = 2**20, 32 * 2**20  # of floats that are made of levels at once


class QuantizedVectors:
    """Each group of neighbouring elements of a head has a scale and a bias of its own, by MLX's affine quantization. So 64 elements take 68
    bytes, where they took 256 or 128: scales and biases are half-precision floats.
    """

    def __init__(self, slots: int, by: Products) -> None:
        self._by = by
        self._levels = SlotVectors(slots)
        self._params = SlotVectors(slots)
        self.dtype: mx.Dtype = mx.float32  # of what was written

    def write(self, writes: Sequence[Span | Scatter], batch: mx.array) -> None:
        """Stores tokens of ``batch`` ``[B, kv_heads, n, width]`` in place."""
        self.dtype = batch.dtype
        levels, params = quantized(batch, self._by.group)
        self._levels.write(writes, levels)
        self._params.write(writes, params)

    # ---- computing with them ----

    def products(self, queries: mx.array, where: Sequence[Slots]) -> mx.array:
        """Returns the products of ``queries`` ``[1, kv_heads, N, width]``, float32, with the vectors: ``[1, kv_heads, N, keys]``."""
        found = [self._by.products(queries, *self._stored(piece)) for piece in self._pieces(where, queries.shape[2])]
        return found[0] if len(found) == 1 else mx.concatenate(found, axis=-1)

    def sums(self, weights: mx.array, where: Sequence[Slots]) -> mx.array:
        """Returns the vectors' sums by ``weights`` ``[1, kv_heads, N, keys]``, float32: ``[1, kv_heads, N, width]``."""
        parts, start = [], 0
        for piece in self._pieces(where, weights.shape[2]):
            count = sum(map(len, piece))
            mine = weights if count == weights.shape[3] else weights[..., start : start + count]
            parts.append(self._by.sums(mine, *self._stored(piece)))
            start += count
        return reduce(mx.add, parts)

    def floats(self, where: Sequence[Slots], heads: slice) -> mx.array:
        """Returns of some heads ``[1, heads, slots, width]`` of the type of what was written."""
        levels, params = self._stored(where)
        return self._by.floats(levels[:, heads], params[:, heads], self.dtype)

    def take(self, pick: Pick) -> mx.array:
        """Returns ``[B, kv_heads, L, width]`` of that type."""
        return self._by.floats(self._levels.take(pick), self._params.take(pick), self.dtype)

    def _stored(self, where: Sequence[Slots]) -> tuple[mx.array, mx.array]:
        return self._levels.read(where), self._params.read(where)

    def _pieces(self, where: Sequence[Slots], rows: int) -> Iterator[Sequence[Slots]]:
        """Yields the slots, so many at a time that floats which are made of them take little memory: for few rows what a processor's caches
        hold, for many no more than the products with them do, or some megabytes.
        """
        slots, of_products = sum(map(len, where)), 4 * self._levels.kv_heads * rows
        most = _CACHED_BYTES if rows <= FEW else max(_MOST_BYTES, of_products * slots)
        at_once = max(1, most // (4 * self._levels.slot_bytes))
        if slots <= at_once:
            yield where
            return
        for one in where:
            for start in range(0, len(one), at_once):
                yield [one.part(start, min(start + at_once, len(one)))]

    # ---- what they lie in ----

    @property
    def parts(self) -> list[SlotVectors]:
        """Returns what they are made of: levels, and scales with biases."""
        return [self._levels, self._params]

    def arena(self, arena: int) -> StoredVectors:
        """Returns views of all that an arena holds."""
        return StoredVectors(self._levels.arena(arena).view(mx.uint8), self._params.arena(arena))
