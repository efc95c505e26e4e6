"""The tokenizer of a GGUF file: byte-level BPE, rebuilt from the metadata."""

from pathlib import Path
from typing import Any

import msgspec
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

from mlxd.errors import ModelSourceError
from mlxd.worker.runtime.gguf.metadata import Metadata

_CONTROL = 3  # GGUF's type of a token that stands for no text
_SPLITTERS = {"smollm": lambda: Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])}


def write_tokenizer(metadata: Metadata, directory: Path) -> None:
    """Writes ``tokenizer.json`` and ``tokenizer_config.json``. Raises ``ModelSourceError`` for another kind of tokenizer."""
    tokens = metadata.texts("tokenizer.ggml.tokens")
    tokenizer = _tokenizer(metadata, tokens)
    (directory / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    (directory / "tokenizer_config.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(_settings(metadata, tokens)), indent=2) + b"\n"
    )


def _tokenizer(metadata: Metadata, tokens: list[str]) -> Tokenizer:
    kind, splitter = metadata.text("tokenizer.ggml.model"), metadata.text("tokenizer.ggml.pre")
    if kind != "gpt2" or splitter not in _SPLITTERS:
        raise ModelSourceError(f"{metadata.path} has a tokenizer of kind {kind!r}/{splitter!r}; mlxd converts 'gpt2'/'smollm'")
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = [_pair(metadata, merge, vocabulary) for merge in metadata.texts("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = _SPLITTERS[splitter]()
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.add_special_tokens([AddedToken(tokens[number], special=True, normalized=False) for number in _control(metadata, tokens)])
    return tokenizer


def _pair(metadata: Metadata, merge: str, vocabulary: dict[str, int]) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    if not {left, right, left + right} <= vocabulary.keys():
        raise ModelSourceError(f"{metadata.path} has a merge {merge!r} that is not two tokens of its vocabulary and makes a third")
    return left, right


def _control(metadata: Metadata, tokens: list[str]) -> list[int]:
    types = metadata.integers("tokenizer.ggml.token_type")
    if len(types) != len(tokens):
        raise ModelSourceError(f"{metadata.path} has {len(tokens)} tokens and {len(types)} token types")
    return [number for number, kind in enumerate(types) if kind == _CONTROL]


def _settings(metadata: Metadata, tokens: list[str]) -> dict[str, Any]:
    def token(role: str, default: int | None = None) -> str:
        number = metadata.integer(f"tokenizer.ggml.{role}_token_id", default)
        if not 0 <= number < len(tokens):
            raise ModelSourceError(f"{metadata.path} names token {number} as its {role} token and has {len(tokens)}")
        return tokens[number]

    eos = metadata.integer("tokenizer.ggml.eos_token_id")
    return {
        # Not GPT2Tokenizer: transformers would put its own pre-tokenizer in place of the one in tokenizer.json.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": token("bos"),
        "eos_token": token("eos"),
        "unk_token": token("unknown", eos),
        "pad_token": token("padding", eos),
        "add_bos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": metadata.integer("llama.context_length"),
        "chat_template": metadata.text("tokenizer.chat_template"),
    }
