"""What the engine asks of whoever keeps adapters beside a model's weights."""

from collections.abc import Collection, Iterable, Iterator, Sequence
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


def stacked_bytes(adapters: Collection[Sequence[PlacedLayer]], item_bytes: int) -> int:
    """Returns the bytes that adapters take together. In each layer that any of them changes their ranks are padded to the largest; a linear
    one has a place more, which adds nothing, and with DoRA among them a gain for each output.
    """
    by_path: dict[str, list[PlacedLayer]] = {}
    for adapter in adapters:
        for placed in adapter:
            by_path.setdefault(placed.path, []).append(placed)
    return item_bytes * sum(map(_numbers, by_path.values()))


def _numbers(stacked: Sequence[PlacedLayer]) -> int:
    layers = [placed.layer for placed in stacked]
    first, rank = layers[0], max(layer.rank for layer in layers)
    each = rank * (first.inputs + first.outputs)
    if first.experts:
        return len(layers) * first.experts * each
    gains = first.outputs if any(layer.magnitude is not None for layer in layers) else 0
    return (len(layers) + 1) * (each + gains)
