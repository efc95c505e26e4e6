"""Directories of models as they lie on the hub, with weights of a seed."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

from tests.encoding.generate.families import Family

_MODULES = "sentence_transformers.models."


def make_checkpoint(family: Family, directory: Path) -> None:
    """Writes every file of the model."""
    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = family.vocabulary()
    config = transformers.AutoConfig.for_model(family.model_type, vocab_size=vocabulary.size, **family.config(vocabulary))
    model = getattr(transformers, family.head).from_config(config, dtype=torch.float32)
    for path, parameter in model.named_parameters():
        owner = model.get_submodule(path.rpartition(".")[0])
        parameter.data.copy_(torch.from_numpy(_values(f"{family.name}/{path}", tuple(parameter.shape), type(owner).__name__)))
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)
    vocabulary.tokenizer.save(str(directory / "tokenizer.json"))
    _write(directory / "tokenizer_config.json", vocabulary.config)
    for name, content in family.files.items():
        _write(directory / name, content)
    if family.modules:
        _write_modules(family, directory)


def _write_modules(family: Family, directory: Path) -> None:
    listed = [{"idx": 0, "name": "0", "path": "", "type": _MODULES + "Transformer"}]
    for number, (kind, settings) in enumerate(family.modules, start=1):
        path = f"{number}_{kind}"
        listed.append({"idx": number, "name": str(number), "path": path, "type": _MODULES + kind})
        if kind == "Normalize":
            continue  # git keeps no empty directories, and nobody needs this one
        (directory / path).mkdir(exist_ok=True)
        _write(directory / path / "config.json", settings)
        if shapes := _shapes(kind, settings):
            weights = {name: _values(f"{family.name}/{path}/{name}", shape, kind) for name, shape in shapes.items()}
            save_file(weights, directory / path / "model.safetensors", metadata={"format": "pt"})
    _write(directory / "modules.json", listed)


def _shapes(kind: str, settings: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    if kind == "LayerNorm":
        return {f"norm.{name}": (settings["dimension"],) for name in ("weight", "bias")}
    if kind != "Dense":
        return {}
    bias = {"linear.bias": (settings["out_features"],)} if settings["bias"] else {}
    return {"linear.weight": (settings["out_features"], settings["in_features"])} | bias


def _values(name: str, shape: tuple[int, ...], owner: str) -> np.ndarray:
    """Returns values of a seed of its own for each name, large enough that each is seen in what comes out. They are representable in
    bfloat16, so that they pack to half.
    """
    drawn = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("bias"):
        drawn = drawn * 0.1
    elif len(shape) == 1:
        drawn = drawn * 0.2 + (0.0 if owner == "Gemma3RMSNorm" else 1.0)
    elif owner == "Embedding" or "embed" in name:
        drawn = drawn * 0.5
    else:
        drawn = drawn * 1.5 / np.sqrt(shape[1])
    return torch.from_numpy(drawn.astype(np.float32)).to(torch.bfloat16).float().numpy()


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
