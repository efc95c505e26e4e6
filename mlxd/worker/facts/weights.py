"""Which files are the weights: those the index names, or the one whole set there is. Copies and leftovers beside them are not read.

::

    an index whose files are all there          those; a second whole set beside them is refused
    no index, or one of files that are gone     model.safetensors, or the one whole set of STEM-00001-of-0000N.safetensors;
                                                two whole sets are refused; without any, a single model*.safetensors will do
"""

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.json_document import AGAIN, JsonDocument, is_there
from mlxd.worker.facts.safetensors_file import read_tensor_names

INDEX = "model.safetensors.index.json"
PATTERN = "model*.safetensors"

_WHOLE = "model.safetensors"
_SHARD = re.compile(r"(?P<stem>model.*?)(?P<before>[-_.])(?P<number>\d+)-of-(?P<count>\d+)\.safetensors")
_MOST_SHARDS = 10_000


@dataclass(frozen=True)
class Weights:
    """The weights of a model, of which ``files`` are read; ``ignored`` look like weights too. Both are names in the model's directory, and
    ``tensors`` those of what ``files`` hold.
    """

    files: tuple[str, ...]
    origin: str
    ignored: tuple[str, ...] = ()
    tensors: frozenset[str] = frozenset()


def find_weights(directory: Path) -> Weights:
    """Returns the files to read, with headers checked. Raises ``ModelSourceError`` that names what is missing, damaged or one too many."""
    present = {path.name for path in directory.glob(PATTERN)}
    index = _Index.read(directory)
    chosen, origin = _choose(directory, index, present)
    tensors = {name: read_tensor_names(directory / name) for name in sorted(chosen)}
    _check_disjoint(directory, tensors)
    return Weights(tuple(tensors), origin, tuple(sorted(present - chosen)), frozenset().union(*tensors.values()))


@dataclass(frozen=True)
class _Index:
    """An index, whose ``weight_map`` says for each tensor in which file it is."""

    path: Path
    weight_map: Mapping[str, str]

    @classmethod
    def read(cls, directory: Path) -> "_Index | None":
        path = directory / INDEX
        if not is_there(path):
            return None
        weight_map = JsonDocument.read(path).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ModelSourceError(f'{path} has no "weight_map"; {AGAIN}')
        for name in weight_map.values():
            if not isinstance(name, str) or Path(name).name != name:
                raise ModelSourceError(f'{path} names {name!r} in its "weight_map"; expected names of files beside it')
        return cls(path, weight_map)

    @property
    def files(self) -> frozenset[str]:
        return frozenset(self.weight_map.values())


def _choose(directory: Path, index: _Index | None, present: AbstractSet[str]) -> tuple[frozenset[str], str]:
    sets = [*_whole_sets(present)]
    if index is not None:
        missing = sorted(name for name in index.files if not is_there(directory / name))
        # Quantized copies of sharded models often keep the index of the original beside their one file.
        if missing and frozenset({_WHOLE}) not in sets:
            raise _missing(directory, missing[0])
        if not missing:
            others = [found for found in sets if not found <= index.files]
            if others:
                raise (
                    _left_out(directory, index.files, others[0])
                    if others[0] & index.files
                    else _ambiguous(directory, index.files, others[0])
                )
            return index.files, INDEX
    if len(sets) > 1:
        raise _ambiguous(directory, *sets[:2])
    if sets:
        return sets[0], "the one whole set of files"
    return _last_resort(directory, present), "the one file there is"


def _whole_sets(present: AbstractSet[str]) -> Iterable[frozenset[str]]:
    if _WHOLE in present:
        yield frozenset({_WHOLE})
    for shards in _shards(present):
        if shards <= present:
            yield shards


def _shards(present: AbstractSet[str]) -> list[frozenset[str]]:
    """Returns all files of each set of which at least one is there."""
    found = {}
    for name in sorted(present):
        shard = _SHARD.fullmatch(name)
        if shard and 0 < int(shard["count"]) <= _MOST_SHARDS:
            found[shard["stem"], shard["before"], shard["count"], len(shard["number"])] = frozenset(_siblings(shard))
    return list(found.values())


def _siblings(shard: re.Match[str]) -> Iterable[str]:
    width = len(shard["number"])
    for number in range(1, int(shard["count"]) + 1):
        yield f"{shard['stem']}{shard['before']}{number:0{width}}-of-{shard['count']}.safetensors"


def _last_resort(directory: Path, present: AbstractSet[str]) -> frozenset[str]:
    for shards in _shards(present):
        raise _missing(directory, min(shards - present))
    if len(present) > 1:
        raise _ambiguous(directory, *([name] for name in sorted(present)[:2]))
    if not present:
        raise ModelSourceError(f"{directory} has no weights ({PATTERN}){_what_else(directory)}")
    return frozenset(present)


def _missing(directory: Path, name: str) -> ModelSourceError:
    return ModelSourceError(f"{directory / name} is missing; the weights are incomplete: {AGAIN}")


def _ambiguous(directory: Path, one: Iterable[str], other: Iterable[str]) -> ModelSourceError:
    return ModelSourceError(
        f"{directory} holds two sets of weights, {_named(one)} and {_named(other)}; move one of them out of the directory"
    )


def _left_out(directory: Path, indexed: AbstractSet[str], whole: AbstractSet[str]) -> ModelSourceError:
    """Returns the error for an index that names a part of a whole set."""
    found, left = sorted(indexed & whole), sorted(whole - indexed)
    return ModelSourceError(f"{directory / INDEX} names {_named(found)}, but not {_named(left)}, of one set of files; {AGAIN}")


def _named(files: Iterable[str]) -> str:
    first, *others = sorted(files)
    return f"{first} and {len(others)} more" if others else first


def _check_disjoint(directory: Path, tensors: Mapping[str, AbstractSet[str]]) -> None:
    found: dict[str, str] = {}
    for name, held in tensors.items():
        for tensor in sorted(held & found.keys()):
            raise ModelSourceError(f"{directory} has the tensor {tensor!r} twice, in {found[tensor]} and in {name}; {AGAIN}")
        found |= dict.fromkeys(held, name)


def _what_else(directory: Path) -> str:
    """Returns a hint for weights of another kind."""
    others = sorted(path.name for pattern in ("*.safetensors", "*.gguf", "*.bin", "*.pth", "*.npz") for path in directory.glob(pattern))
    if not others:
        return f"; {AGAIN}"
    return f", only {', '.join(others[:3])}; convert the model for MLX first: mlx_lm.convert"
