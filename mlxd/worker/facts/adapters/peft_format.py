"""Adapters as PEFT writes them: ``adapter_config.json`` with ``peft_type``, and ``adapter_model.safetensors``."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlxd.adapter_terms import AdapterFormat
from mlxd.errors import AdapterSourceError
from mlxd.worker.facts.adapters.adapter_facts import AdapterFacts
from mlxd.worker.facts.adapters.peft_settings import PeftSettings
from mlxd.worker.facts.adapters.tensor_groups import Group, check_changes, grouped, layer_of
from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.facts.safetensors_file import StoredTensor

FILE = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_NAME = re.compile(r"(?P<path>.+)\.(?P<role>lora_A|lora_B|lora_magnitude_vector)(\.default)?(\.weight)?")
_ROLES = {"lora_A": "a", "lora_B": "b", "lora_magnitude_vector": "magnitude"}
_EMBEDDING = re.compile(r"(?P<path>.+)\.lora_embedding_[AB](\.default)?")
_BIAS = re.compile(r"(?P<path>.+)\.bias")


def read_peft(config: JsonDocument, file: Path, tensors: Mapping[str, StoredTensor]) -> AdapterFacts:
    """Returns the adapter that ``tensors`` are. Raises ``AdapterSourceError`` that names the file, and the key or the tensor in it."""
    settings = PeftSettings.read(config)
    groups = grouped(file, tensors, lambda name: _split(file, name))
    for group in groups:
        if ("magnitude" in group.roles) != settings.use_dora:
            what = "has no magnitude" if settings.use_dora else "has a magnitude, which is of DoRA"
            raise AdapterSourceError(f"{file}: {group.path} {what}, and {config.origin('use_dora')} is {str(settings.use_dora).lower()}")
    layers = tuple(layer_of(file, group, settings.declared(group.path), transposed=True) for group in groups)
    check_changes(file, layers, config.origin("lora_alpha"))
    return AdapterFacts(AdapterFormat.PEFT, file, layers, tuple(_unmatched(config, settings, file, groups)))


def _split(file: Path, name: str) -> tuple[str, str]:
    found = _NAME.fullmatch(name)
    if found is not None:
        return found["path"].removeprefix(_PREFIX), _ROLES[found["role"]]
    for pattern, what in ((_EMBEDDING, "changes an embedding"), (_BIAS, "is a bias")):
        if pattern.fullmatch(name):
            raise AdapterSourceError(f"{file}: {name!r} {what}, which is not done per request")
    raise AdapterSourceError(f'{file}: {name!r} is no tensor of an adapter; whole layers ("modules_to_save") are not replaced per request')


def _unmatched(config: JsonDocument, settings: PeftSettings, file: Path, groups: list[Group]) -> Iterator[str]:
    """Yields what is to be said of modules that no tensor is of. Raises ``AdapterSourceError`` where that are all."""
    unmatched = [name for name in settings.target_modules if not any(f".{group.path}".endswith(f".{name}") for group in groups)]
    if unmatched and len(unmatched) == len(settings.target_modules):
        raise AdapterSourceError(f"{file} has no tensor of any layer that {config.origin('target_modules')} names: {', '.join(unmatched)}")
    if unmatched:
        yield f"{file} has no tensors for {', '.join(unmatched)}, which {config.origin('target_modules')} names"
