"""Adapters on disk, of random values, in both formats."""

import json

import numpy as np
from safetensors.numpy import save_file

MLX_LM, PEFT = "adapters.safetensors", "adapter_model.safetensors"


def random_pair(chance, shape, rank):
    """A ``[inputs, rank]`` and B ``[rank, outputs]`` of a layer ``shape``, or of each expert where that has three parts; what they make
    is about as large as the weights of tiny models.
    """
    *experts, inputs, outputs = shape
    a = chance.standard_normal((*experts, inputs, rank)) / np.sqrt(inputs)
    b = chance.standard_normal((*experts, rank, outputs)) / np.sqrt(rank)
    return a.astype(np.float32), b.astype(np.float32)


def write_files(directory, config, tensors, file):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, directory / file)
    return directory


def write_mlx_lm(directory, layers, *, rank=4, scale=2.0, seed=0, magnitudes=None, **config):
    """An adapter of mlx-lm for ``layers``, shapes by path; with ``magnitudes``, by path, it is of DoRA."""
    chance, tensors = np.random.default_rng(seed), {}
    for path, shape in layers.items():
        a, b = random_pair(chance, shape, rank)
        with_experts = len(shape) > 2
        tensors[f"{path}.lora_a"] = a.swapaxes(-1, -2) if with_experts else a
        tensors[f"{path}.lora_b"] = b.swapaxes(-1, -2) if with_experts else b
        if magnitudes is not None:
            tensors[f"{path}.m"] = magnitudes[path]
    parameters = {"rank": rank, "scale": scale, "dropout": 0.0} | config.pop("lora_parameters", {})
    known = {"fine_tune_type": "lora" if magnitudes is None else "dora", "num_layers": 16, "lora_parameters": parameters}
    return write_files(directory, known | config, tensors, MLX_LM)


def write_peft(directory, layers, *, rank=4, alpha=8.0, seed=0, magnitudes=None, ranks=None, **config):
    """An adapter of PEFT for ``layers``, shapes by path; ``ranks`` are those of some of them."""
    chance, tensors = np.random.default_rng(seed), {}
    for path, shape in layers.items():
        a, b = random_pair(chance, shape, (ranks or {}).get(path, rank))
        tensors[f"base_model.model.{path}.lora_A.weight"] = a.T
        tensors[f"base_model.model.{path}.lora_B.weight"] = b.T
        if magnitudes is not None:
            tensors[f"base_model.model.{path}.lora_magnitude_vector"] = magnitudes[path]
    known = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": alpha,
        "use_dora": magnitudes is not None,
        "bias": "none",
        "init_lora_weights": True,
        "modules_to_save": None,
        "rank_pattern": ranks or {},
        "alpha_pattern": {},
        "target_modules": sorted({path.rpartition(".")[2] for path in layers}),
    }
    return write_files(directory, known | config, tensors, PEFT)
