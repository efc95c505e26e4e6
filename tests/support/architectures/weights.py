"""Random weights that make greedy tokens depend on the whole prompt. MLX is imported by ``build`` alone."""

import copy
from typing import TYPE_CHECKING

import numpy as np

from tests.support.architectures.architecture import Architecture
from tests.support.tiny_model import VOCAB

if TYPE_CHECKING:
    from mlx import nn

# For build: factors on matrices that would keep the size of their input, and the logits' size in models with tied embeddings.
_GAIN = 1.5
_HEAD_GAIN = 4.0
_TIED_GAIN = 0.5

# Ranges for parameters that are no plain matrices, by the end of their names; those that mlx-lm sets to zero would do nothing,
# and recurrent states would forget within a few tokens.
_RANGES: dict[str, tuple[float, float]] = {
    "sinks": (-1.0, 1.0),
    "attention_sink_bias": (-1.0, 1.0),
    "e_score_correction_bias": (-0.1, 0.1),
    "expert_bias": (-0.1, 0.1),
    "router_bias": (-0.1, 0.1),
    "correct_output_scale": (0.5, 1.5),
    "embed_skip.a_g": (0.1, 0.3),
    "dt_bias": (-4.0, -2.0),
    "dt_proj.bias": (-4.0, -2.0),
    "recurrent_param": (-4.0, -1.0),
    "conv_k": (-1.0, 1.0),
    "conv_v": (-1.0, 1.0),
    "w_lora.lora.2.bias": (-5.0, -2.0),
    **{f".x_{part}": (0.0, 1.0) for part in "rwkvag"},
    "k_k": (0.5, 1.5),
    "k_a": (0.5, 1.5),
    "r_k": (-0.5, 0.5),
    "g_norm.weight": (0.5, 1.5),
}


def build(architecture: Architecture, seed: int = 7) -> "nn.Module":
    """The model with random float32 weights, evaluated; the same for the same seed.

    mlx-lm's initial weights give almost constant logits, and zeros where a checkpoint is expected to fill them in (routers, for
    one). So all matrices are drawn anew, in sizes that make greedy tokens depend on the whole prompt.
    """
    # Imported here: the tables above are also for processes that must not load MLX.
    import mlx.core as mx  # noqa: PLC0415
    from mlx import nn  # noqa: PLC0415
    from mlx.utils import tree_flatten, tree_unflatten  # noqa: PLC0415
    from mlx_lm.utils import _get_classes  # noqa: PLC0415

    mx.random.seed(seed)
    random = np.random.default_rng(seed)
    config = copy.deepcopy(architecture.config)  # some classes write to it
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))

    embeddings = {f"{path}.weight" for path, module in model.named_modules() if isinstance(module, nn.Embedding)}
    parameters = [(name, value) for name, value in tree_flatten(model.parameters()) if mx.issubdtype(value.dtype, mx.floating)]
    has_head = any(_is_head(value.shape) and name not in embeddings for name, value in parameters)
    drawn = []
    for name, value in parameters:
        if name in embeddings:
            new = architecture.embedding * random.standard_normal(value.shape)
        elif not has_head and _is_final_norm(name, value.shape):
            # Random signs: with tied embeddings the logits would else just find the last token again.
            new = random.choice([-1.0, 1.0], value.shape) * _TIED_GAIN / architecture.embedding
        else:
            new = _draw(name, value.shape, random)
        drawn.append((name, value.astype(mx.float32) if new is None else mx.array(new.astype(np.float32))))
    model.update(tree_unflatten(drawn))
    for module in model.modules():
        if "scales" in module:  # the packed layers of prism_hadamard_qwen35
            shape = (module.weight.shape[0], module.scales.shape[1] * module.group_size)
            matrix = mx.array((random.standard_normal(shape) / np.sqrt(shape[1])).astype(np.float32))
            module.weight, module.scales, module.biases = mx.quantize(matrix, module.group_size, module.bits)
    model.eval()
    mx.eval(model.parameters())
    return model


def _draw(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray | None:
    """New values for a parameter, or None to keep the model's own."""
    for ending, (low, high) in _RANGES.items():
        if name.endswith(ending):
            return random.uniform(low, high, shape)
    if len(shape) < 2 or name.endswith("A_log"):
        return None
    if name.endswith("bias"):
        return random.uniform(-0.1, 0.1, shape)
    module = name.rpartition(".")[0].rpartition(".")[2]
    if "norm" in module or name.endswith((".q_weight", ".k_weight")):
        return random.uniform(0.5, 1.5, shape)
    inputs = np.prod(shape[1:]) if "conv" in module else shape[-1]
    return random.standard_normal(shape) * (_HEAD_GAIN if _is_head(shape) else _GAIN) / np.sqrt(inputs)


def _is_head(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and shape[0] == VOCAB


def _is_final_norm(name: str, shape: tuple[int, ...]) -> bool:
    elsewhere = "per_layer" in name or any(part.isdigit() for part in name.split("."))
    return len(shape) == 1 and not elsewhere and name.endswith(("norm.weight", "norm_f.weight", "ln_f.weight"))
