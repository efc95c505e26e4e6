"""Is a model directory whole? Checked before anything is loaded, so that the error can name the file.

What is asked for is what mlx-lm's loader needs: ``config.json``, ``model*.safetensors`` and a tokenizer.
"""

import json
import re
from pathlib import Path
from typing import Any

from mlxd.errors import ModelSourceError
from mlxd.worker.fetch.safetensors_file import check_safetensors

INDEX = "model.safetensors.index.json"
WEIGHTS = "model*.safetensors"

_SHARD = re.compile(r"(?P<stem>model.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tiktoken.model", "vocab.json", "*.tiktoken")


def check_model_directory(directory: Path) -> None:
    """Raise ``ModelSourceError`` that names the file and what is wrong with it; return for a whole directory.

    Reads JSON files and the headers of weights, not the weights: a fraction of a second.
    """
    try:
        _check_exists(directory)
        _check_config(directory)
        _check_weights(directory)
        _check_tokenizer(directory)
    except OSError as error:
        raise ModelSourceError(f"{error.filename or directory} cannot be read: {error.strerror or error}") from error


def _check_exists(directory: Path) -> None:
    if not directory.exists():
        raise ModelSourceError(f"{directory} does not exist; give the path of a model directory that holds config.json")
    if not directory.is_dir():
        raise ModelSourceError(f"{directory} is a file; a model is a directory with config.json, {WEIGHTS} and a tokenizer")


def _check_config(directory: Path) -> None:
    path = directory / "config.json"
    config = _read_object(path)
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise ModelSourceError(f'{path} has no "model_type"; is this the configuration of a language model?')
    if config.get("model_file") is not None:
        raise ModelSourceError(f'{path} asks to run code of its own ("model_file"); mlxd runs no code that comes with a model')


def _check_weights(directory: Path) -> None:
    present = {path.name for path in directory.glob(WEIGHTS)}
    for name in sorted(_expected_shards(directory, present) - present):
        raise ModelSourceError(f"{directory / name} is missing; the weights are incomplete: fetch or copy the model again")
    if not present:
        raise ModelSourceError(f"{directory} has no weights ({WEIGHTS}){_what_else(directory)}")
    for name in sorted(present):
        check_safetensors(directory / name)


def _expected_shards(directory: Path, present: set[str]) -> set[str]:
    """By the index where there is one, and by names such as ``model-00001-of-00003.safetensors``."""
    index = directory / INDEX
    expected: set[str] = set()
    if _is_there(index):
        named = _indexed_shards(index)
        # Beside a single model.safetensors it does not name, an index is a leftover of an earlier, sharded form.
        if "model.safetensors" in named or "model.safetensors" not in present:
            expected |= named
    for shard in filter(None, map(_SHARD.fullmatch, present)):
        count = int(shard["count"])
        expected |= {f"{shard['stem']}-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)}
    return expected


def _indexed_shards(index: Path) -> set[str]:
    weight_map = _read_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelSourceError(f'{index} has no "weight_map"; fetch or copy the model again')
    for name in weight_map.values():
        if not isinstance(name, str) or Path(name).name != name:
            raise ModelSourceError(f'{index} names {name!r} in its "weight_map"; expected names of files beside it')
    return set(weight_map.values())


def _what_else(directory: Path) -> str:
    """A hint for weights of another kind."""
    others = sorted(path.name for pattern in ("*.safetensors", "*.gguf", "*.bin", "*.pth", "*.npz") for path in directory.glob(pattern))
    if not others:
        return "; fetch or copy the model again"
    return f", only {', '.join(others[:3])}; convert the model for MLX first: mlx_lm.convert"


def _check_tokenizer(directory: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if _is_there(directory / name):
            _read_object(directory / name)
    if not any(path for pattern in _TOKENIZERS for path in directory.glob(pattern)):
        raise ModelSourceError(f"{directory} has no tokenizer (tokenizer.json or tokenizer.model); fetch or copy the model again")


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()  # a dangling link is there, and broken


def _read_object(path: Path) -> dict[str, Any]:
    if not _is_there(path):
        raise ModelSourceError(f"{path} is missing; fetch or copy the model again")
    if not path.exists():
        raise ModelSourceError(f"{path} is a link to {path.readlink()}, which does not exist; fetch or copy the model again")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelSourceError(f"{path} is not valid JSON ({error}); fetch or copy the model again") from error
    if not isinstance(value, dict):
        raise ModelSourceError(f"{path} is not a JSON object; fetch or copy the model again")
    return value
