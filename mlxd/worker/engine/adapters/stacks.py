"""What the engine asks of whoever keeps adapters beside a model's weights."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from mlxd.worker.facts.adapters.fit import ModelPlaces, PlacedLayer
from mlxd.worker.facts.adapters.tensor_values import LayerValues


class AdapterStacks(Protocol):
    """The adapters of a model by their slots, from 1 on. All calls but ``places`` come from the engine thread."""

    @property
    def places(self) -> ModelPlaces:
        """Returns the layers that adapters may change."""

    @property
    def item_bytes(self) -> int:
        """Returns the bytes of each number that is kept."""

    @property
    def nbytes(self) -> int:
        """Returns the bytes that all adapters take."""

    def write(self, slot: int, layers: Sequence[PlacedLayer], values: Iterable[LayerValues]) -> Iterator[None]:
        """Writes an adapter into a slot that is free, a layer at a time: yields after each. No row may have the slot before the end."""

    def drop(self, slot: int) -> Iterator[None]:
        """Frees a slot that no row has any more, and what it takes, a layer at a time: yields after each. Nothing may be written before the
        end. One that was never written, or not to its end, is freed likewise, and one that is freed in part already.
        """
