"""The way from a GGUF file to a model directory that mlx-lm loads: weights, configuration and tokenizer.

It does only what the built-in models need: the llama architecture with a byte-level BPE tokenizer. Anything else is refused, not guessed.
Quantized tensors stay as they are: MLX reads Q4_0, Q4_1 and Q8_0 as its own affine quantization in groups of 32.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec

from mlxd.errors import ModelSourceError
from mlxd.worker.runtime.gguf.metadata import Metadata
from mlxd.worker.runtime.gguf.tokenizer import write_tokenizer

_GROUP = 32  # weights that share a scale and a bias, in every quantization of GGUF that MLX keeps

_LAYER = re.compile(r"blk\.(?P<layer>\d+)\.(?P<part>\w+)\.(?P<kind>weight|scales|biases)")
_OUTER = re.compile(r"(?P<part>\w+)\.(?P<kind>weight|scales|biases)")
_OUTER_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert_gguf(gguf: Path, directory: Path) -> None:
    """Writes ``config.json``, ``generation_config.json``, ``model.safetensors`` and the tokenizer's files to ``directory``.

    Raises ``ModelSourceError`` for a file that cannot be read, converted or written.
    """
    with mx.stream(mx.cpu):  # a few copies; a machine that only pulls may have no Metal device
        tensors, metadata = _read(gguf)
        weights = {_renamed(name): _floats_as_float16(tensor) for name, tensor in tensors.items()}
        config = _config(metadata, weights)
        _write_json(directory / "config.json", config)
        _write_json(directory / "generation_config.json", {key: config[key] for key in config if key.endswith("_token_id")})
        write_tokenizer(metadata, directory)
        _write_weights(directory / "model.safetensors", weights)
    mx.clear_cache()  # what the conversion used is not the model's memory


def _read(gguf: Path) -> tuple[dict[str, mx.array], Metadata]:
    try:
        loaded: Any = mx.load(str(gguf), return_metadata=True, format="gguf")
    except (RuntimeError, ValueError) as error:
        raise ModelSourceError(f"{gguf} cannot be read as GGUF: {error}") from error
    tensors, metadata = loaded
    return tensors, Metadata(gguf, metadata)


def _renamed(name: str) -> str:
    """Returns mlx-lm's name: ``model.layers.3.self_attn.q_proj.scales`` for ``blk.3.attn_q.scales``.

    Raises ``ModelSourceError`` for a tensor that cannot be converted.
    """
    if (match := _LAYER.fullmatch(name)) and match["part"] in _LAYER_NAMES:
        return f"model.layers.{match['layer']}.{_LAYER_NAMES[match['part']]}.{match['kind']}"
    if (match := _OUTER.fullmatch(name)) and match["part"] in _OUTER_NAMES:
        return f"{_OUTER_NAMES[match['part']]}.{match['kind']}"
    raise ModelSourceError(f"the GGUF file has a tensor {name!r} that mlxd cannot convert")


def _floats_as_float16(tensor: mx.array) -> mx.array:
    """Makes one floating type of all: float32 norms beside float16 scales would make every activation float32."""
    return tensor.astype(mx.float16) if mx.issubdtype(tensor.dtype, mx.floating) else tensor


def _config(metadata: Metadata, weights: dict[str, mx.array]) -> dict[str, Any]:
    architecture = metadata.text("general.architecture")
    if architecture != "llama" or "llama.rope.scaling.type" in metadata:
        raise ModelSourceError(f"{metadata.path} is of architecture {architecture!r}; mlxd converts plain llama only")
    heads = metadata.integer("llama.attention.head_count")
    hidden = metadata.integer("llama.embedding_length")
    if heads < 1 or hidden % heads:
        raise ModelSourceError(f"{metadata.path} has {heads} attention heads for an embedding of {hidden}; the file is damaged")
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": hidden,
        "num_hidden_layers": metadata.integer("llama.block_count"),
        "intermediate_size": metadata.integer("llama.feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.integer("llama.attention.head_count_kv", heads),
        "head_dim": hidden // heads,
        "rms_norm_eps": metadata.number("llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": metadata.number("llama.rope.freq_base", 10000.0),
        "rope_traditional": True,  # llama.cpp permutes the rows of q and k for the interleaved form
        "max_position_embeddings": metadata.integer("llama.context_length"),
        "vocab_size": _rows(weights, "model.embed_tokens"),
        "tie_word_embeddings": "lm_head.weight" not in weights,
        "attention_bias": False,
        "mlp_bias": False,
        "hidden_act": "silu",
        "torch_dtype": "float16",
        "bos_token_id": metadata.integer("tokenizer.ggml.bos_token_id"),
        "eos_token_id": metadata.integer("tokenizer.ggml.eos_token_id"),
        "pad_token_id": metadata.integer("tokenizer.ggml.padding_token_id", metadata.integer("tokenizer.ggml.eos_token_id")),
    }
    quantization = _quantization(weights)
    return config | ({"quantization": quantization} if quantization else {})


def _rows(weights: dict[str, mx.array], path: str) -> int:
    if f"{path}.weight" not in weights:
        raise ModelSourceError(f"the GGUF file has no tensor for {path}")
    return int(weights[f"{path}.weight"].shape[0])


def _quantization(weights: dict[str, mx.array]) -> dict[str, Any]:
    """Returns mlx-lm's form: what most tensors have, then by path those that differ. It is empty where nothing is quantized."""
    bits = {name.removesuffix(".scales"): _bits(weights, name) for name in weights if name.endswith(".scales")}
    if not bits:
        return {}
    ((most, _),) = Counter(bits.values()).most_common(1)
    exceptions = {path: {"group_size": _GROUP, "bits": count} for path, count in sorted(bits.items()) if count != most}
    return {"group_size": _GROUP, "bits": most} | exceptions


def _bits(weights: dict[str, mx.array], scales: str) -> int:
    """Returns the bits of one weight: those of a row's packed words, of 32 bits each, over the weights of a row."""
    words = weights[scales.removesuffix("scales") + "weight"].shape[-1]
    return int(words * 32 // (weights[scales].shape[-1] * _GROUP))


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def _write_weights(path: Path, weights: dict[str, mx.array]) -> None:
    try:
        mx.save_safetensors(str(path), weights, metadata={"format": "mlx"})
    except RuntimeError as error:
        raise ModelSourceError(f"{path} cannot be written ({error}); is the disk full?") from error
