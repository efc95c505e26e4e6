"""The stacks of all layers of a model, and which of its layers adapters may change."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import mlx.core as mx
from mlx import nn
from typing_extensions import override

from mlxd.errors import AdapterSourceError
from mlxd.worker.engine.adapters.stacks import AdapterStacks
from mlxd.worker.facts.adapters.fit import LayerPlace, ModelPlaces, PlacedLayer
from mlxd.worker.facts.adapters.tensor_values import LayerValues
from mlxd.worker.runtime.adapters.adapted_layers import EXPERTS, GIVERS, LINEAR, adapt, restore, tell_routes, weight_of
from mlxd.worker.runtime.adapters.layer_stack import Entry, ExpertStack, LinearStack
from mlxd.worker.runtime.adapters.observed_calls import refusals
from mlxd.worker.runtime.adapters.present_slots import PresentSlots
from mlxd.worker.runtime.paged.install import SelectedHead
from mlxd.worker.runtime.paged.model import PagedModel


class ModelStacks(AdapterStacks):
    """The adapters in the layers of a paged model. ``dtype`` is the one in which they are computed."""

    def __init__(self, model: PagedModel, dtype: mx.Dtype) -> None:
        self._model = model
        self._present: PresentSlots = model.slots
        self._dtype = dtype
        found = dict(_layers(model.language_model))
        self._layers = {path: one.layer for path, one in found.items()}
        self._heads = {path for path, one in found.items() if one.is_head}
        self._places = ModelPlaces(self._seen_places())
        self._stacks: dict[str, LinearStack | ExpertStack] = {}

    @property
    @override
    def places(self) -> ModelPlaces:
        return self._places

    @property
    @override
    def item_bytes(self) -> int:
        return self._dtype.size

    @property
    @override
    def nbytes(self) -> int:
        return sum(stack.nbytes for stack in self._stacks.values())

    @override
    def write(self, slot: int, layers: Sequence[PlacedLayer], values: Iterable[LayerValues]) -> Iterator[None]:
        for placed, added in zip(layers, values, strict=True):
            layer = self._layers[placed.path]
            weight = None if added.magnitude is None else weight_of(layer)
            try:
                self._stack(placed.path).put(slot, Entry.of(added, weight))
            except AdapterSourceError as error:
                raise AdapterSourceError(f"{placed.path}: {error.message}") from error
            yield
        self._model.adapters_changed()

    @override
    def drop(self, slot: int) -> Iterator[None]:
        for path, stack in list(self._stacks.items()):
            stack.take_out(slot)
            if not any(stack.index):
                del self._stacks[path]
                restore(self._layers[path])
            yield
        self._model.adapters_changed()

    def _seen_places(self) -> Iterator[LayerPlace]:
        """Yields what adapters may change, and of everything else why they may not."""
        known = {path: layer for path, layer in self._layers.items() if type(layer) in (*LINEAR, *EXPERTS)}
        unknown = refusals(self._model.callable_model, known)
        uses = Counter(id(layer) for layer in known.values())
        unknown |= {path: "which the model has in several places" for path, layer in known.items() if uses[id(layer)] > 1}
        for path, layer in self._layers.items():
            place = _place(path, layer, self._giver(path))
            yield replace(place, refusal=place.refusal or unknown.get(path, ""))

    def _stack(self, path: str) -> LinearStack | ExpertStack:
        if path not in self._stacks:
            layer = self._layers[path]
            if isinstance(layer, LINEAR):
                stack: LinearStack | ExpertStack = LinearStack(self._present, self._dtype, is_head=path in self._heads)
            else:
                stack = ExpertStack(self._present, self._dtype, layer.num_experts)
                giver = self._giver(path)
                if giver is not None:
                    tell_routes(giver, self._present)
            self._stacks[path] = stack
            adapt(layer, stack, self._present)
        return self._stacks[path]

    def _giver(self, path: str) -> nn.Module | None:
        return self._layers.get(path.rpartition(".")[0])


@dataclass(frozen=True)
class _Found:
    """A module of a model; a ``head`` is given the rows alone that are sampled."""

    layer: nn.Module
    is_head: bool


def _layers(model: nn.Module) -> Iterator[tuple[str, _Found]]:
    """Yields the modules by the paths that they have without what mlxd has put around them."""
    heads = [path for path, module in model.named_modules() if isinstance(module, SelectedHead)]
    for path, module in model.named_modules():
        head = next((one for one in heads if path.startswith(f"{one}.inner")), None)
        if path and path not in heads:
            yield path if head is None else head + path.removeprefix(f"{head}.inner"), _Found(module, head is not None)


def _place(path: str, layer: nn.Module, giver: nn.Module | None) -> LayerPlace:
    kind = type(layer)
    if kind in LINEAR:
        outputs, inputs = layer.weight.shape
        if isinstance(layer, nn.QuantizedLinear):
            inputs = inputs * 32 // layer.bits
        return LayerPlace(path, inputs, outputs)
    if kind in EXPERTS:
        refusal = "" if _gives(giver) else f"whose rows are given to its experts by {type(giver).__name__}, of which adapters know nothing"
        return LayerPlace(path, layer.input_dims, layer.output_dims, layer.num_experts, refusal)
    return LayerPlace(path, 0, 0, refusal=f"a layer of class {kind.__name__}, which adapters do not change per request")


def _gives(giver: nn.Module | None) -> bool:
    """Tells whether it gives rows to experts as mlx-lm's classes do."""
    return any(isinstance(giver, kind) and type(giver).__call__ is kind.__call__ for kind in GIVERS)
