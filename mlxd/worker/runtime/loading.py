"""A model directory to a model in memory, on the device that is really there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_map_with_path
from mlx_lm.utils import dequantize_model, load_model, load_tokenizer

from mlxd.errors import ModelSourceError
from mlxd.worker.runtime.x86 import install_activations

_DTYPES = {"float32": mx.float32, "bfloat16": mx.bfloat16, "float16": mx.float16}
_DEFAULT_CONTEXT = 4096  # tokens, for a configuration that does not say


@dataclass(frozen=True)
class LoadedModel:
    """Everything a runner needs."""

    model: Any  # an mlx-lm model
    tokenizer: Any  # mlx-lm's TokenizerWrapper
    end_tokens: frozenset[int]
    context_length: int
    vocab_size: int
    weight_bytes: int
    device: str  # "cpu" | "gpu"
    dtype: str  # of the first floating-point weight


def detect_device() -> str:
    """Evaluates an array: a Metal build of MLX says it is available also where no device is."""
    try:
        with mx.stream(mx.gpu):
            mx.eval(mx.zeros(1) + 1)
    except (RuntimeError, ValueError):
        mx.set_default_device(mx.cpu)
        return "cpu"
    return "gpu"


def load(path: Path, *, dtype: str, context_limit: int | None) -> LoadedModel:
    """Open it and read its weights."""
    loaded = open_model(path, dtype=dtype, context_limit=context_limit)
    read_weights(loaded)
    return loaded


def open_model(path: Path, *, dtype: str, context_limit: int | None) -> LoadedModel:
    """Everything is known of it, but its weights are not in memory yet. ``dtype`` "auto": as stored on a GPU; on a CPU dequantized
    to float32, where anything else is unusably slow.

    Raises ``ModelSourceError`` for a directory that mlx-lm cannot load.
    """
    device = detect_device()
    try:
        model, config = load_model(path, lazy=True)
        tokenizer = load_tokenizer(path, eos_token_ids=config.get("eos_token_id"))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelSourceError(f"{path} cannot be loaded as an mlx-lm model: {error}") from error
    _cast(model, dtype if dtype != "auto" or device == "gpu" else "float32", dequantize=dtype == "auto" and device == "cpu")
    install_activations(model)
    weights = [value for _, value in tree_flatten(model.parameters())]
    floating = next((value.dtype for value in weights if mx.issubdtype(value.dtype, mx.floating)), mx.float32)
    own_context = context_length(config)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        end_tokens=frozenset(tokenizer.eos_token_ids),
        context_length=min(own_context, context_limit or own_context),
        vocab_size=vocabulary(config, tokenizer),
        weight_bytes=sum(value.nbytes for value in weights),
        device=device,
        dtype=str(floating).removeprefix("mlx.core."),
    )


def read_weights(loaded: LoadedModel) -> None:
    """Into memory, cast and dequantized."""
    mx.eval(loaded.model.parameters())
    mx.clear_cache()
    leave_memory_unwired()


def context_length(config: dict[str, Any]) -> int:
    """The most tokens of prompt and output the model was made for."""
    for part in (config, config.get("text_config") or {}):
        for key in ("max_position_embeddings", "n_positions", "max_seq_len", "model_max_length"):
            if isinstance(part.get(key), int) and part[key] > 0:
                return int(part[key])
    return _DEFAULT_CONTEXT


def vocabulary(config: dict[str, Any], tokenizer: Any) -> int:
    """Number of token ids the model has embeddings for."""
    for part in (config, config.get("text_config") or {}):
        if isinstance(part.get("vocab_size"), int):
            return int(part["vocab_size"])
    return len(tokenizer.get_vocab())


def _cast(model: Any, dtype: str, *, dequantize: bool) -> None:
    """Scales are cast before they are used, so that nothing is rounded to the type they were stored in."""
    if dtype in _DTYPES:
        wanted = getattr(model, "cast_predicate", lambda _: True)  # some models keep parameters in float32

        def cast(name: str, value: mx.array) -> mx.array:
            return value.astype(_DTYPES[dtype]) if mx.issubdtype(value.dtype, mx.floating) and wanted(name) else value

        model.update(tree_map_with_path(cast, model.parameters()))
    if dequantize:
        dequantize_model(model)


def leave_memory_unwired() -> None:
    """A wired limit under concurrency has panicked macOS kernels (ml-explore/mlx#3186): undo what a library may have set."""
    if mx.metal.is_available():
        mx.set_wired_limit(0)
