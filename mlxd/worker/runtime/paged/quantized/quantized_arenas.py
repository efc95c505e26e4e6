"""Where keys and values live in 8 bits an element."""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.runtime.paged.key_value_store import KeyValueStore, StoredVectors, StoreKind
from mlxd.worker.runtime.paged.quantized.products import Products
from mlxd.worker.runtime.paged.quantized.vectors import QuantizedVectors
from mlxd.worker.runtime.paged.slot_store import SlotStore
from mlxd.worker.runtime.paged.slot_vectors import SlotVectors
from mlxd.worker.runtime.paged.slots import Pick, Scatter, Slots, Span

_FUSED_BYTES = 64 * 2**20  # of keys and values that are made floats for a fused kernel at once


class QuantizedArenas(SlotStore):
    """A store whose keys and values are quantized as they are written: what a token sees of others, and of itself, is the same whether it
    comes of a prompt or of an answer.

    Few rows attend by products with what is stored; for those of prompts, floats are made of it first.
    """

    def __init__(self, slots: int, by: Products) -> None:
        self._by = by
        self._keys = QuantizedVectors(slots, by)
        self._values = QuantizedVectors(slots, by)

    @property
    @override
    def parts(self) -> Sequence[SlotVectors]:
        return *self._keys.parts, *self._values.parts

    @override
    def write(self, writes: Sequence[Span | Scatter], keys: mx.array, values: mx.array) -> None:
        self._keys.write(writes, keys)
        self._values.write(writes, values)

    @override
    def scores(self, queries: mx.array, where: Sequence[Slots]) -> mx.array:
        return self._keys.products(queries.astype(mx.float32), where)

    @override
    def mix(self, weights: mx.array, where: Sequence[Slots]) -> mx.array:
        return self._values.sums(weights.astype(mx.float32), where).astype(self.dtype)

    @override
    def fuses(self, rows: int) -> bool:
        return rows > 1

    @override
    def fused(
        self, queries: mx.array, where: Sequence[Slots], *, scale: float, mask: str | mx.array | None, sinks: mx.array | None
    ) -> mx.array:
        """Makes floats of the keys and values of so many heads at a time as take little memory."""
        heads = self.kv_heads
        at_once = max(1, _FUSED_BYTES * heads // max(1, self._float_bytes * sum(map(len, where))))
        group = queries.shape[1] // heads
        outputs = []
        for first in range(0, heads, at_once):
            mine = slice(first, first + at_once)
            rows = slice(first * group, (first + at_once) * group)
            keys, values = (vectors.floats(where, mine) for vectors in (self._keys, self._values))
            own = None if sinks is None else sinks[rows]
            outputs.append(mx.fast.scaled_dot_product_attention(queries[:, rows], keys, values, scale=scale, mask=mask, sinks=own))
        return outputs[0] if len(outputs) == 1 else mx.concatenate(outputs, axis=1)

    @override
    def floats(self, where: Sequence[Slots]) -> tuple[mx.array, mx.array]:
        everything = slice(None)
        return self._keys.floats(where, everything), self._values.floats(where, everything)

    @override
    def take(self, pick: Pick) -> tuple[mx.array, mx.array]:
        return self._keys.take(pick), self._values.take(pick)

    @override
    def arena(self, arena: int) -> tuple[StoredVectors, StoredVectors]:
        return self._keys.arena(arena), self._values.arena(arena)

    @property
    @override
    def kind(self) -> StoreKind:
        return Int8(self._by)

    @property
    @override
    def dtype(self) -> mx.Dtype:
        return self._values.dtype

    @property
    def _float_bytes(self) -> int:
        """Returns the bytes that a token's key and value take as floats."""
        return self.dtype.size * sum(vectors.parts[0].slot_bytes for vectors in (self._keys, self._values))


@dataclass(frozen=True)
class Int8(StoreKind):
    """Keys and values in 8 bits an element, computed with ``by`` products."""

    by: Products

    @property
    @override
    def name(self) -> str:
        return f"int8/{self.by.group}"

    @override
    def store(self, slots: int) -> KeyValueStore:
        return QuantizedArenas(slots, self.by)
