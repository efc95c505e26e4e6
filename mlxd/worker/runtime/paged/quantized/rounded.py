"""What quantized keys and values are, stored as floats: how the quantized store is proved apart from what quantizing costs."""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.arenas import Arenas
from mlxd.worker.runtime.paged.key_value_store import KeyValueStore, StoreKind
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.paged.probe import Case, Reference, paged_logits
from mlxd.worker.runtime.paged.quantized.affine import quantized
from mlxd.worker.runtime.paged.quantized.products import Products
from mlxd.worker.runtime.paged.quantized.quantized_arenas import Int8
from mlxd.worker.runtime.paged.slots import Scatter, Span
from mlxd.worker.runtime.proof import Tolerance

# Rounding moves an element that lies between two levels to the other one, in one of some thousand elements: a 255th of its group's range.
_MOVED = 0.05


class RoundedArenas(Arenas):
    """The plain store of what ``by`` makes of keys and values that were quantized: float32, so that nothing is rounded twice."""

    def __init__(self, slots: int, by: Products) -> None:
        super().__init__(slots)
        self._by = by

    @override
    def write(self, writes: Sequence[Span | Scatter], keys: mx.array, values: mx.array) -> None:
        super().write(writes, self._rounded(keys), self._rounded(values))

    def _rounded(self, vectors: mx.array) -> mx.array:
        return self._by.floats(*quantized(vectors, self._by.group), mx.float32)


@dataclass(frozen=True)
class Rounded(StoreKind):
    """Keys and values that were quantized, as floats."""

    by: Products

    @property
    @override
    def name(self) -> str:
        return f"rounded/{self.by.group}"

    @override
    def store(self, slots: int) -> KeyValueStore:
        return RoundedArenas(slots, self.by)


class RoundedCache(Reference):
    """The model over a plain store of quantized keys and values."""

    name = "those over the same keys and values as floats"

    @override
    def tolerance(self, loaded: LoadedModel) -> Tolerance:
        return Tolerance(loaded, least=_MOVED)

    @override
    def logits(self, loaded: LoadedModel, model: PagedModel, case: Case) -> mx.array:
        kinds = [layer.kind for layer in model.layers]
        model.store_as([Rounded(kind.by) if isinstance(kind, Int8) else kind for kind in kinds])
        try:
            found = paged_logits(model, case)
            mx.eval(found)
        finally:
            model.store_as(kinds)
        return found
