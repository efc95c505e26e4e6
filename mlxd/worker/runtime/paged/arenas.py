"""Where keys and values live as they are: per layer, one pair of tensors for each arena of blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.runtime.paged.key_value_store import KeyValueStore, StoredVectors, StoreKind
from mlxd.worker.runtime.paged.slot_store import SlotStore
from mlxd.worker.runtime.paged.slot_vectors import SlotVectors
from mlxd.worker.runtime.paged.slots import Pick, Scatter, Slots, Span


class Arenas(SlotStore):
    """The plain store: keys and values of the type of what is written."""

    def __init__(self, slots: int) -> None:
        self._keys = SlotVectors(slots)
        self._values = SlotVectors(slots)

    @property
    @override
    def parts(self) -> Sequence[SlotVectors]:
        return self._keys, self._values

    @override
    def write(self, writes: Sequence[Span | Scatter], keys: mx.array, values: mx.array) -> None:
        self._keys.write(writes, keys)
        self._values.write(writes, values)

    @override
    def scores(self, queries: mx.array, where: Sequence[Slots]) -> mx.array:
        """Widens the operands first: a product of half-precision operands is rounded to their type, which moves a score of 20 by up to 0.06
        in bfloat16, and its weight by as many parts of one.
        """
        return queries.astype(mx.float32) @ self._keys.read(where).astype(mx.float32).swapaxes(-1, -2)

    @override
    def mix(self, weights: mx.array, where: Sequence[Slots]) -> mx.array:
        values = self._values.read(where)
        return weights.astype(values.dtype) @ values

    @override
    def fuses(self, rows: int) -> bool:
        return True

    @override
    def fused(
        self, queries: mx.array, where: Sequence[Slots], *, scale: float, mask: str | mx.array | None, sinks: mx.array | None
    ) -> mx.array:
        """Calls MLX's kernel, which takes slices as they are where there is one query of one row."""
        keys, values = self._keys.read(where), self._values.read(where)
        found: mx.array = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask, sinks=sinks)
        return found

    @override
    def floats(self, where: Sequence[Slots]) -> tuple[mx.array, mx.array]:
        return self._keys.read(where), self._values.read(where)

    @override
    def take(self, pick: Pick) -> tuple[mx.array, mx.array]:
        return self._keys.take(pick), self._values.take(pick)

    @override
    def arena(self, arena: int) -> tuple[StoredVectors, StoredVectors]:
        return StoredVectors(self._keys.arena(arena)), StoredVectors(self._values.arena(arena))

    @property
    @override
    def kind(self) -> StoreKind:
        return Plain()

    @property
    @override
    def dtype(self) -> mx.Dtype:
        return self.parts[-1].dtype


@dataclass(frozen=True)
class Plain(StoreKind):
    """Keys and values as they are written."""

    @property
    @override
    def name(self) -> str:
        return ""

    @override
    def store(self, slots: int) -> KeyValueStore:
        return Arenas(slots)


class KeyArenas(Arenas):
    """The store of vectors that are keys and values at once, or have no values: nobody attends to them where they lie."""

    @classmethod
    def of(cls, store: Arenas) -> Self:
        """Returns the store of what was written to another one as keys."""
        made = cls(0)
        made._keys = store._keys  # noqa: SLF001 - its own class
        return made

    @property
    @override
    def parts(self) -> Sequence[SlotVectors]:
        return (self._keys,)

    @override
    def write(self, writes: Sequence[Span | Scatter], keys: mx.array, values: mx.array) -> None:
        self._keys.write(writes, keys)

    @override
    def floats(self, where: Sequence[Slots]) -> tuple[mx.array, mx.array]:
        keys = self._keys.read(where)
        return keys, keys

    @property
    @override
    def kind(self) -> StoreKind:
        return KeysAlone()


@dataclass(frozen=True)
class KeysAlone(Plain):
    """Keys as they are written, and no values."""

    @override
    def store(self, slots: int) -> KeyValueStore:
        return KeyArenas(slots)
