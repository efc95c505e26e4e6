"""What PEFT's ``adapter_config.json`` says of ranks and scales, and what in it asks for what is not done."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from mlxd.errors import AdapterSourceError
from mlxd.worker.facts.adapters.numbers import finite_number, is_finite_number, is_rank
from mlxd.worker.facts.adapters.tensor_groups import Declared
from mlxd.worker.facts.json_document import JsonDocument, shown

Value = TypeVar("Value")

# Keys with which the files are something else than pairs of tensors beside an unchanged model, unless they are empty.
_REFUSED = {
    "modules_to_save": "whole layers are not replaced per request",
    "target_parameters": "parameters that are no layers are not changed per request",
    "trainable_token_indices": "embeddings are not changed per request",
    "layer_replication": "layers are not repeated per request",
    "lora_bias": "biases are not changed per request",
    "use_qalora": "its inputs are pooled, which is not done",
    "alora_invocation_tokens": "an adapter is for a whole request",
    "use_bdlora": "its matrices are of blocks, which is not done",
    "arrow_config": "it chooses among adapters by itself, which is not done",
}
_HARMLESS_BEGINNINGS = {"gaussian", "eva", "orthogonal"}  # of training: others change the model's own weights, too
_PLAIN = re.compile(r"[\w.]+")
_SIMPLE = re.compile(r"[\w.:\\^$|?*+\[\]()-]{1,200}")  # a regular expression that may come from anybody must not take for ever
_REPEATS = re.compile(r"(?<![\\(])[*+?]")
_GROUPS = re.compile(r"(?<!\\)\(")  # of which each may have many alternatives
_REPEATED_GROUP = re.compile(r"\)[*+?]")
_MOST_REPEATS, _MOST_CHOICES = 3, 4  # choices multiply: repeats and groups


@dataclass(frozen=True)
class PeftSettings:
    """The ranks and scales of an adapter of PEFT. A pattern is a name, or a regular expression of names, that a path ends in."""

    rank: int
    alpha: float
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    by_root: bool
    use_dora: bool
    file: str  # its name
    target_modules: tuple[str, ...]  # where they are names, and no regular expression

    @classmethod
    def read(cls, config: JsonDocument) -> Self:
        """Reads them. Raises ``ModelSourceError`` that names the key."""
        if config.get("peft_type") != "LORA":
            raise config.wrong("peft_type", '"LORA": no other type is computed')
        for key, why in _REFUSED.items():
            if config.get(key):
                raise AdapterSourceError(f'{config.path}: "{key}" is set; {why}')
        if config.get("bias") not in (None, "none"):
            raise config.wrong("bias", '"none": biases are not changed per request')
        beginning = config.get("init_lora_weights")
        if isinstance(beginning, str) and beginning not in _HARMLESS_BEGINNINGS:
            raise config.wrong("init_lora_weights", "one that leaves the model's weights as they are; convert the adapter by PEFT")
        rank = config.count("r")
        if rank is None or not is_rank(rank):
            raise config.wrong("r", "a whole number above zero, and a rank")
        targets = config.get("target_modules")
        return cls(
            rank=rank,
            alpha=finite_number(config, "lora_alpha"),
            ranks=_patterns(config, "rank_pattern", is_rank),
            alphas=_patterns(config, "alpha_pattern", is_finite_number),
            by_root=_flag(config, "use_rslora"),
            use_dora=_flag(config, "use_dora"),
            file=config.path.name,
            target_modules=tuple(map(str, targets)) if isinstance(targets, list) else (),
        )

    def declared(self, path: str) -> Declared:
        """Returns what is said of the layer at a path. It is scaled by alpha / r, or by alpha / sqrt(r) (rsLoRA)."""
        rank = _found(self.ranks, path, self.rank)
        scale = _found(self.alphas, path, self.alpha) / (math.sqrt(rank) if self.by_root else rank)
        return Declared(rank, scale, f"{self.file} for {path}")


def _flag(config: JsonDocument, key: str) -> bool:
    value = config.get(key)
    if value is not None and not isinstance(value, bool):
        raise config.wrong(key, "true or false")
    return bool(value)


def _patterns(config: JsonDocument, key: str, is_right: Any) -> dict[str, Any]:
    part = config.part(key)
    values: dict[str, Any] = {} if part is None else part.values
    for pattern, value in values.items():
        if not is_right(value):
            raise AdapterSourceError(f'{config.path}: "{key}" gives {pattern!r} the value {shown(value)}; expected a number')
        if not _PLAIN.fullmatch(pattern) and not _is_simple(pattern):
            raise AdapterSourceError(f'{config.path}: "{key}" has {pattern!r}, which is no name and no simple regular expression')
    return values


def _is_simple(pattern: str) -> bool:
    if not _SIMPLE.fullmatch(pattern) or _REPEATED_GROUP.search(pattern):
        return False
    repeats, groups = (len(found.findall(pattern)) for found in (_REPEATS, _GROUPS))
    if repeats > _MOST_REPEATS or repeats + groups > _MOST_CHOICES:
        return False
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _found(patterns: Mapping[str, Value], path: str, otherwise: Value) -> Value:
    """Returns the value of the first pattern that a path ends in, as PEFT looks for it."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", path):
            return value
    return otherwise
