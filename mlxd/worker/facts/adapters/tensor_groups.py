"""The tensors of an adapter's file, put together layer by layer, whatever their names end in."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlxd.errors import AdapterSourceError
from mlxd.worker.facts.adapters.adapter_facts import AdapterLayer
from mlxd.worker.facts.safetensors_file import StoredTensor

FLOATS = ("F16", "BF16", "F32")
_LONGEST_NAME, _SHOWN = 200, 60  # characters: names are compared with regular expressions
_PAIR = {2: "a layer", 3: "a layer of experts"}  # axes


@dataclass(frozen=True)
class Group:
    """The tensors of the layer at ``path`` by their roles: "a", "b" and "magnitude"."""

    path: str
    roles: dict[str, StoredTensor]


def grouped(file: Path, tensors: Mapping[str, StoredTensor], split: Callable[[str], tuple[str, str]]) -> list[Group]:
    """Returns the tensors layer by layer, in the order of their names; ``split`` makes of a name the layer's path and the tensor's role, or
    raises what is wrong with it.

    Raises ``AdapterSourceError`` for a layer that lacks one of its pair, for one named twice, and for numbers of another type.
    """
    found: dict[str, dict[str, StoredTensor]] = {}
    for name in sorted(tensors):
        if len(name) > _LONGEST_NAME:
            raise AdapterSourceError(f"{file} has a tensor whose name has {len(name)} characters: {name[:_SHOWN]!r}…")
        path, role = split(name)
        roles = found.setdefault(path, {})
        if role in roles:
            raise AdapterSourceError(f"{file}: {name!r} and {roles[role].name!r} are the same tensor of {path}")
        if tensors[name].dtype not in FLOATS:
            raise AdapterSourceError(f"{file}: {name!r} is of type {tensors[name].dtype}; expected one of {', '.join(FLOATS)}")
        roles[role] = tensors[name]
    for path, roles in found.items():
        if missing := {"a", "b"} - roles.keys():
            there = next(iter(roles.values())).name
            raise AdapterSourceError(f"{file}: {path} has {there!r}, and nothing that is its {' or '.join(sorted(missing)).upper()}")
    return [Group(path, roles) for path, roles in found.items()]


@dataclass(frozen=True)
class Declared:
    """What a configuration says of a layer; ``origin`` is where it says the rank."""

    rank: int
    scale: float
    origin: str


def layer_of(file: Path, group: Group, declared: Declared, *, transposed: bool) -> AdapterLayer:
    """Returns the layer of a group of tensors. Raises ``AdapterSourceError`` where their shapes are none of a layer, or disagree with each
    other or with the rank that is declared.
    """
    a, b, magnitude = group.roles["a"], group.roles["b"], group.roles.get("magnitude")
    if len(a.shape) not in _PAIR or len(a.shape) != len(b.shape) or 0 in (*a.shape, *b.shape):
        raise AdapterSourceError(f"{file}: {a.name!r} of shape {_told(a)} and {b.name!r} of {_told(b)} are no pair of a layer")
    layer = AdapterLayer(group.path, declared.scale, a, b, magnitude, transposed or len(a.shape) == max(_PAIR))
    of_b = b.shape[-1] if layer.transposed else b.shape[-2]
    if layer.rank != of_b or a.shape[:-2] != b.shape[:-2]:
        raise AdapterSourceError(f"{file}: {a.name!r} of shape {_told(a)} and {b.name!r} of {_told(b)} have different ranks")
    if layer.rank != declared.rank:
        of_file = f"{file}: {a.name!r} of shape {_told(a)} has rank {layer.rank}"
        raise AdapterSourceError(f"{of_file}, where {declared.origin} says {declared.rank}")
    if magnitude is not None:
        _check_magnitude(file, layer, magnitude)
    return layer


def check_changes(file: Path, layers: Iterable[AdapterLayer], scale_origin: str) -> None:
    """Raises ``AdapterSourceError`` where there is no layer, or none that is changed by more than nothing."""
    if not (known := list(layers)):
        raise AdapterSourceError(f"{file} holds nothing of an adapter: it would change no layer")
    if all(layer.scale == 0 for layer in known):
        raise AdapterSourceError(f"{file}: by {scale_origin} the scale is 0, so that it would change no layer")


def _check_magnitude(file: Path, layer: AdapterLayer, magnitude: StoredTensor) -> None:
    if layer.experts:
        raise AdapterSourceError(f"{file}: {magnitude.name!r} is of DoRA, which layers of experts do not have")
    if magnitude.shape not in {(layer.outputs,), (layer.outputs, 1), (1, layer.outputs)}:
        raise AdapterSourceError(f"{file}: {magnitude.name!r} has the shape {_told(magnitude)}, and its layer {layer.outputs} outputs")


def _told(tensor: StoredTensor) -> str:
    return str(list(tensor.shape))
