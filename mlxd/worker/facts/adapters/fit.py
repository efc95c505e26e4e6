"""Whether an adapter is for a model: each of its layers has a place there, and fits it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mlxd.errors import AdapterSourceError
from mlxd.worker.facts.adapters.adapter_facts import AdapterLayer
from mlxd.worker.facts.adapters.tensor_values import ExaminedAdapter

# What stands before a model of text where it is a part of another, or of a library's own.
_OUTER = {"model", "base_model", "language_model", "text_model", "transformer", "backbone"}


@dataclass(frozen=True)
class LayerPlace:
    """A layer of a model, at ``path`` there: of so many ``inputs`` and ``outputs``, and ``experts``, 0 where it has none. ``refusal`` says
    why adapters do not change it; empty: they may.
    """

    path: str
    inputs: int
    outputs: int
    experts: int = 0
    refusal: str = ""


@dataclass(frozen=True)
class PlacedLayer:
    """A layer of an adapter, and the path of the one in the model that it changes."""

    path: str
    layer: AdapterLayer


class ModelPlaces:
    """The layers of a model, found by the names that the files of adapters give them."""

    def __init__(self, places: Iterable[LayerPlace]) -> None:
        self._by_path: Mapping[str, LayerPlace] = {place.path: place for place in places}
        inner: dict[str, list[LayerPlace]] = {}
        for place in self._by_path.values():
            inner.setdefault(_inner(place.path), []).append(place)
        self._by_inner = {name: found[0] for name, found in inner.items() if len(found) == 1}

    @property
    def all(self) -> tuple[LayerPlace, ...]:
        """Returns all layers, those too that adapters do not change."""
        return tuple(self._by_path.values())

    def find(self, path: str) -> LayerPlace | None:
        """Returns the layer that an adapter calls by ``path``: that very one, or the only one of that name within what it is part of."""
        return self._by_path.get(path) or self._by_inner.get(_inner(path))


@dataclass(frozen=True)
class FittedAdapter:
    """An adapter that fits its model. Each is known by its ``identity``: of others the answers differ."""

    examined: ExaminedAdapter
    layers: tuple[PlacedLayer, ...]

    @classmethod
    def of(cls, examined: ExaminedAdapter, places: ModelPlaces) -> Self:
        """Raises ``AdapterSourceError`` that names the tensor which has no place in the model, or does not fit it."""
        file = examined.facts.file
        for layer in examined.facts.layers:
            _check(file, layer, places.find(layer.path))
        found = [PlacedLayer(place.path, layer) for layer in examined.layers if (place := places.find(layer.path))]
        paths = {one.path for one in found}
        if len(paths) < len(found):
            raise AdapterSourceError(f"{file}: two of its layers are the same one of the model")
        return cls(examined, tuple(found))

    @property
    def identity(self) -> str:
        """Returns the hash of all that it adds."""
        return self.examined.identity


def _check(file: Path, layer: AdapterLayer, place: LayerPlace | None) -> None:
    name = layer.a.name
    if place is None:
        raise AdapterSourceError(f"{file}: {name!r} has no place: the model has no layer {layer.path}; is the adapter of another model?")
    if place.refusal:
        raise AdapterSourceError(f"{file}: {name!r} is of {layer.path}, {place.refusal}")
    if layer.experts != place.experts:
        there, here = (f"{count} experts" if count else "no experts" for count in (layer.experts, place.experts))
        raise AdapterSourceError(f"{file}: {name!r} is of a layer with {there}, and {layer.path} of the model has {here}")
    if (layer.inputs, layer.outputs) != (place.inputs, place.outputs):
        raise AdapterSourceError(
            f"{file}: {name!r} is of a layer with {layer.inputs} inputs and {layer.outputs} outputs, and {layer.path} of the model "
            f"has {place.inputs} and {place.outputs}: the adapter is of another model"
        )


def _inner(path: str) -> str:
    parts = path.split(".")
    while parts and parts[0] in _OUTER:
        del parts[0]
    return ".".join(parts)
