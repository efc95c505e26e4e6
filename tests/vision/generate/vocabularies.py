"""Tokenizers of a few hundred tokens, built as those of the families are: their specials, their way with spaces and bytes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXT = (
    "What is this? What is that? Look at the picture and compare it with the other one. "
    "<row_1_col_1> <row_1_col_2> <row_2_col_1> <row_2_col_2> <global-img> the seconds of this video "
    "user assistant system USER ASSISTANT User Assistant model What is in the picture, and what is the picture?"
)
GPT_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What a family's ``tokenizer_config.json`` says, and the tokens that stand for themselves."""

    specials: Sequence[str]
    merges: int = 40  # tokens beyond single bytes
    first: Sequence[str] = ()  # specials that come before everything else
    bos: str | None = None  # put before every text by the tokenizer itself
    pieces: bool = False  # spaces are written ``\u2581``, and only what has no token of its own is bytes
    leading_space: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def build(self) -> Tokenizer:
        tokenizer = _of_pieces(self) if self.pieces else _of_bytes(self)
        tokenizer.add_special_tokens([AddedToken(one, normalized=False, special=True) for one in (*self.first, *self.specials)])
        if self.bos is not None:
            first = (self.bos, tokenizer.token_to_id(self.bos))
            tokenizer.post_processor = processors.TemplateProcessing(
                single=f"{self.bos} $A", pair=f"{self.bos} $A {self.bos} $B", special_tokens=[first]
            )
        return tokenizer


def _of_bytes(vocabulary: Vocabulary) -> Tokenizer:
    """The way of GPT-2, which Qwen, Llama 3, SmolLM and Tekken go."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(GPT_WORDS), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(vocabulary.first) + len(alphabet) + vocabulary.merges,
        special_tokens=list(vocabulary.first),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator([f" {word}" for word in TEXT.split()], trainer)
    return tokenizer


def _of_pieces(vocabulary: Vocabulary) -> Tokenizer:
    """The way of SentencePiece with bytes to fall back to, which Llama 2 and Gemma go."""
    letters = [chr(code) for code in range(33, 127)] + ["\n", "\u2581"]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    size = len(letters) + vocabulary.merges
    trained.train_from_iterator(
        [f" {word}" for word in TEXT.split()], trainers.BpeTrainer(vocab_size=size, initial_alphabet=letters, show_progress=False)
    )
    learnt = _learnt(trained)
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = [*vocabulary.first, *bytes_, *letters, *(one + other for one, other in learnt)]
    model = models.BPE(
        vocab={token: index for index, token in enumerate(dict.fromkeys(tokens))},
        merges=learnt,
        unk_token="<unk>",
        fuse_unk=True,
        byte_fallback=True,
    )
    tokenizer = Tokenizer(model)
    stripped = [decoders.Strip(content=" ", left=1)] if vocabulary.leading_space else []
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), *stripped])
    if vocabulary.leading_space:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern=" ", behavior="merged_with_previous")
    return tokenizer


def _learnt(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    return [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
