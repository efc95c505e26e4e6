"""What stores have in common that keep vectors by slot: everything that does not compute with them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.runtime.paged.key_value_store import KeyValueStore
from mlxd.worker.runtime.paged.slot_vectors import SlotVectors
from mlxd.worker.runtime.paged.slots import Copy, Slots, Span


class SlotStore(KeyValueStore, ABC):
    """A store whose tokens have a vector in each of ``parts``, which are written together."""

    @property
    @abstractmethod
    def parts(self) -> Sequence[SlotVectors]:
        """Returns what it is made of, always in the same order."""

    @override
    def read(self, where: Slots) -> tuple[mx.array, ...]:
        return tuple(part.read([where]) for part in self.parts)

    @override
    def restore(self, where: Slots, parts: Sequence[mx.array]) -> None:
        for own, part in zip(self.parts, parts, strict=True):
            own.write([Span(where.arena, where.start, 0, len(where))], part)

    @override
    def holds(self, where: Slots) -> bool:
        return self.parts[0].holds(where.arena)

    @override
    def copy(self, copy: Copy) -> None:
        for part in self.parts:
            part.copy(copy)

    @override
    def lend(self, arenas: Sequence[int]) -> list[mx.array]:
        return [tensor for part in self.parts for tensor in part.lend(arenas)]

    @override
    def give_back(self, arenas: Sequence[int], tensors: Iterator[mx.array]) -> None:
        for part in self.parts:
            part.give_back(arenas, tensors)

    @override
    def keep(self, arenas: Mapping[int, int]) -> bool:
        changed = [part.keep(arenas) for part in self.parts]
        return any(changed)

    @override
    def tensors(self) -> list[mx.array]:
        return [tensor for part in self.parts for tensor in part.tensors()]

    @property
    @override
    def kv_heads(self) -> int:
        return self.parts[0].kv_heads

    @property
    @override
    def count(self) -> int:
        return self.parts[0].count

    @property
    @override
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)

    @property
    @override
    def token_bytes(self) -> int:
        return sum(part.slot_bytes for part in self.parts)
