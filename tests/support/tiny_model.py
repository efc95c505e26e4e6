"""Tiny models in a second, without a download and (for llama) without MLX.

``make_tiny_model``: random weights; greedy output is arbitrary but always the same.
``make_scripted_model``: says a text of your choice, whatever the prompt, then ends: for tests that need to know the answer.

The tokenizer is byte-level: one token per byte (ids 0 to 255), then ``SPECIALS``. So every character beyond ASCII is split
across tokens, and a prompt's length is its number of bytes.
"""

import itertools
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
BOS, IM_START, EOS = 256, 257, 258
VOCAB = 259

# ChatML; like many real templates it refuses a system message that is not the first, and one whose author it does not like.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'system' and not loop.first %}{{ raise_exception('the system message must be the first') }}{% endif %}"
    "{% if message.name == 'nobody' %}{{ raise_exception('nobody has nothing to say') }}{% endif %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "vocab_size": VOCAB,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
}


def make_tiny_model(directory: Path, **config_overrides: Any) -> Path:
    """A model directory with random weights; returns ``directory``.

    ``config_overrides`` change ``config.json``. A ``model_type`` other than llama is built with mlx-lm's own class,
    and then needs every field that class asks for.
    """
    config = LLAMA | config_overrides
    _write_texts(directory, config)
    if config["model_type"] == "llama":
        save_file(_random_llama(config), directory / "model.safetensors", metadata={"format": "mlx"})
    else:
        _save_with_mlx(directory, config)
    return directory


def make_scripted_model(directory: Path, text: str, **config_overrides: Any) -> Path:
    """A model whose greedy answer to any chat prompt (or prompt that ends in a newline) is ``text``, then end of sequence.

    Each token's successor depends on that token alone, so no byte may occur twice in ``text``, and it may hold no newline:
    ``"ab☃é日c"`` is fine, ``"hello"`` is not.
    """
    chain = [ord("\n"), *text.encode(), EOS]
    if len(set(chain)) != len(chain):
        raise ValueError(f"a byte occurs twice in {text!r}, or it holds a newline")
    config = LLAMA | {"hidden_size": 256, "num_hidden_layers": 1} | config_overrides
    _write_texts(directory, config)
    weights = _random_llama(config)
    for name in weights:
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weights[name] = np.zeros_like(weights[name])
    embeddings = weights["model.embed_tokens.weight"]
    head = np.zeros_like(embeddings)
    for token, successor in itertools.pairwise(chain):
        head[successor] = embeddings[token]
    weights["lm_head.weight"] = head
    save_file(weights, directory / "model.safetensors", metadata={"format": "mlx"})
    return directory


def make_tokenizer() -> Tokenizer:
    """One token per byte; ``SPECIALS`` are special."""
    byte_tokens = {character: byte for byte, character in enumerate(_byte_characters())}
    tokenizer = Tokenizer(models.BPE(vocab=byte_tokens, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    return tokenizer


def _write_texts(directory: Path, config: dict[str, Any]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    make_tokenizer().save(str(directory / "tokenizer.json"))
    _write_json(directory / "config.json", config)
    _write_json(directory / "generation_config.json", {"eos_token_id": config["eos_token_id"]})
    _write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": SPECIALS[0],
            "eos_token": SPECIALS[2],
            "chat_template": CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "model_max_length": 10**30,
        },
    )


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _byte_characters() -> Iterator[str]:
    """GPT-2's printable stand-ins for the bytes 0 to 255, in order."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    stand_in = 256
    for byte in range(256):
        if byte in printable:
            yield chr(byte)
        else:
            yield chr(stand_in)
            stand_in += 1


def _random_llama(config: dict[str, Any]) -> dict[str, np.ndarray]:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    head_dim = config.get("head_dim", hidden // heads)
    sizes = hidden, config["intermediate_size"], config["vocab_size"], head_dim * heads, head_dim * config["num_key_value_heads"]
    return dict(_random_weights(sizes, config["num_hidden_layers"], config["tie_word_embeddings"]))


@lru_cache(maxsize=2)
def _random_weights(sizes: tuple[int, ...], layers: int, tied: bool) -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    hidden, inner, vocab, queries, keys = sizes

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (random.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)

    weights = {
        "model.embed_tokens.weight": random.standard_normal((vocab, hidden)).astype(np.float32),
        "model.norm.weight": np.ones(hidden, np.float32),
    }
    if not tied:
        weights["lm_head.weight"] = 3 * matrix(vocab, hidden)
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        weights |= {
            prefix + "input_layernorm.weight": np.ones(hidden, np.float32),
            prefix + "post_attention_layernorm.weight": np.ones(hidden, np.float32),
            prefix + "self_attn.q_proj.weight": 2 * matrix(queries, hidden),
            prefix + "self_attn.k_proj.weight": 2 * matrix(keys, hidden),
            prefix + "self_attn.v_proj.weight": 2 * matrix(keys, hidden),
            prefix + "self_attn.o_proj.weight": 2 * matrix(hidden, queries),
            prefix + "mlp.gate_proj.weight": matrix(inner, hidden),
            prefix + "mlp.up_proj.weight": matrix(inner, hidden),
            prefix + "mlp.down_proj.weight": matrix(hidden, inner),
        }
    return weights


def _save_with_mlx(directory: Path, config: dict[str, Any]) -> None:
    # Imported here: most users of this module are tests of the daemon, which must not load MLX.
    import mlx.core as mx  # noqa: PLC0415
    from mlx.utils import tree_flatten  # noqa: PLC0415
    from mlx_lm.utils import _get_classes  # noqa: PLC0415

    mx.random.seed(7)
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))
    mx.save_safetensors(str(directory / "model.safetensors"), dict(tree_flatten(model.parameters())), metadata={"format": "mlx"})
