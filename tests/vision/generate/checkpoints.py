"""Checkpoints as they lie on the hub, with weights of a seed."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig, AutoModelForImageTextToText

from tests.vision.generate.families import Architecture


def make_checkpoint(architecture: Architecture, directory: Path) -> Any:
    """Writes every file of the model; returns it as transformers loads it from them."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = architecture.vocabulary.build()
    size = -(-tokenizer.get_vocab_size() // 8) * 8
    config = architecture.config(lambda token: _known(tokenizer.token_to_id(token), token), size)
    model = AutoModelForImageTextToText.from_config(transformers_config(architecture, config), dtype=torch.float32)
    fill(model, architecture.name, architecture.seed)
    model.save_pretrained(directory)
    _name_as_on_the_hub(directory / "model.safetensors", config)
    (directory / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save(str(directory / "tokenizer.json"))
    _write(directory / "config.json", config)
    _write(directory / "tokenizer_config.json", architecture.tokenizer)
    (directory / "chat_template.jinja").write_text(architecture.template)
    for name, content in architecture.files.items():
        _write(directory / name, content)
    loaded = load(architecture, directory)
    (directory / "config_as_saved.json").write_text(loaded.config.to_json_string())
    return loaded


def load(architecture: Architecture, directory: Path) -> Any:
    config = transformers_config(architecture, json.loads((directory / "config.json").read_text()))
    return AutoModelForImageTextToText.from_pretrained(directory, config=config, attn_implementation="eager", dtype=torch.float32).eval()


def transformers_config(architecture: Architecture, config: dict[str, Any]) -> Any:
    model_type = architecture.transformers_type or config["model_type"]
    return AutoConfig.for_model(**json.loads(json.dumps(config)) | {"model_type": model_type})


def fill(model: Any, name: str, seed: int) -> None:
    """Gives every parameter values of its own name's seed, large enough that each of them is seen in the logits.

    They are representable in bfloat16: models of either type have the same weights, and half the bytes pack to nothing.
    """
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    modules = dict(model.named_modules())
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            rng = np.random.default_rng([zlib.crc32(f"{name}/{path}".encode()), seed])
            owner = modules[path.rpartition(".")[0]]
            values = _values(rng, parameter, owner, path, tied)
            parameter.copy_(torch.from_numpy(values.astype(np.float32)).to(torch.bfloat16).float())


def _name_as_on_the_hub(path: Path, config: dict[str, Any]) -> None:
    """Towers of CLIP and SigLIP have one more name before theirs, which transformers reads but does not write."""
    weights = load_file(path)
    if config["vision_config"].get("model_type") in ("clip_vision_model", "siglip_vision_model"):
        weights = {name.replace("vision_tower.", "vision_tower.vision_model."): value for name, value in weights.items()}
    save_file(weights, path, metadata={"format": "pt"})


def _values(rng: np.random.Generator, parameter: torch.Tensor, owner: Any, path: str, tied: bool) -> np.ndarray:
    drawn = rng.standard_normal(tuple(parameter.shape))
    if isinstance(owner, torch.nn.Embedding):
        return drawn * (0.4 if tied else 1.0)
    if path.endswith("bias"):
        return drawn * 0.1
    if parameter.ndim == 1 and "norm" in path + type(owner).__name__.lower():
        return drawn * 0.2 + (0.0 if type(owner).__name__ == "Gemma3RMSNorm" else 1.0)
    if parameter.ndim == 1:
        return drawn
    wide = 2.0 if any(one in path for one in ("q_proj", "k_proj", "lm_head", "qkv")) else 1.0
    return drawn * wide / np.sqrt(np.prod(parameter.shape[1:]))


def _known(index: int | None, token: str) -> int:
    if index is None:
        raise ValueError(f"{token} is no token")
    return index


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
