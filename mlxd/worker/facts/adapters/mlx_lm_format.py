"""Adapters as mlx-lm writes them: ``adapter_config.json`` with ``lora_parameters``, and ``adapters.safetensors``."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from mlxd.adapter_terms import AdapterFormat
from mlxd.errors import AdapterSourceError
from mlxd.worker.facts.adapters.adapter_facts import AdapterFacts
from mlxd.worker.facts.adapters.numbers import finite_number, is_rank
from mlxd.worker.facts.adapters.tensor_groups import Declared, Group, check_changes, grouped, layer_of
from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.facts.safetensors_file import StoredTensor

FILE = "adapters.safetensors"
_ROLES = {"lora_a": "a", "lora_b": "b", "m": "magnitude"}
_KINDS = ("lora", "dora")


def read_mlx_lm(config: JsonDocument, file: Path, tensors: Mapping[str, StoredTensor]) -> AdapterFacts:
    """Returns the adapter that ``tensors`` are. Raises ``AdapterSourceError`` that names the file, and the key or the tensor in it."""
    kind = config.text("fine_tune_type") or "lora"
    if kind == "full":
        raise AdapterSourceError(f'{config.path}: "fine_tune_type" is "full": that is a model of its own, and no adapter')
    if kind not in _KINDS:
        raise config.wrong("fine_tune_type", '"lora" or "dora"')
    parameters = config.part("lora_parameters")
    if parameters is None:
        raise AdapterSourceError(f'{config.path} has no "lora_parameters", which say by what an adapter is scaled')
    rank, scale = parameters.count("rank"), finite_number(parameters, "scale")
    if rank is None or not is_rank(rank):
        raise parameters.wrong("rank", "a whole number above zero, and a rank")
    groups = grouped(file, tensors, lambda name: _split(file, name))
    for group in groups:
        if ("magnitude" in group.roles) != (kind == "dora"):
            what = "has no magnitude 'm'" if kind == "dora" else "has a magnitude 'm', which is of DoRA"
            raise AdapterSourceError(f'{file}: {group.path} {what}, and {config.origin("fine_tune_type")} is "{kind}"')
    declared = Declared(rank, scale, parameters.origin("rank"))
    layers = tuple(layer_of(file, group, declared, transposed=False) for group in groups)
    check_changes(file, layers, parameters.origin("scale"))
    return AdapterFacts(AdapterFormat.MLX_LM, file, layers, tuple(_unmatched(parameters, file, groups)))


def _split(file: Path, name: str) -> tuple[str, str]:
    path, _, leaf = name.rpartition(".")
    if not path or leaf not in _ROLES:
        raise AdapterSourceError(f"{file}: {name!r} is no tensor of an adapter; those end in {', '.join(_ROLES)}")
    return path, _ROLES[leaf]


def _unmatched(parameters: JsonDocument, file: Path, groups: list[Group]) -> Iterator[str]:
    """Yields what is to be said of keys that no tensor is of. Raises ``AdapterSourceError`` where keys and tensors have nothing to do with
    each other: mlx-lm itself would make no layers for these.
    """
    keys = parameters.get("keys")
    if keys is None:
        return
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise parameters.wrong("keys", "a list of names of layers")
    for group in groups:
        if not any(_names(key, group.path) for key in keys):
            raise AdapterSourceError(f"{file}: {group.path} is none of the layers that {parameters.origin('keys')} names")
    unmatched = [key for key in keys if not any(_names(key, group.path) for group in groups)]
    if unmatched:
        yield f"{file} has no tensors for {', '.join(unmatched)}, which {parameters.origin('keys')} names"


def _names(key: str, path: str) -> bool:
    """Tells whether a key, of a layer within its block or from the model's root on, is that of a path."""
    return path == key or path.endswith(f".{key}")
