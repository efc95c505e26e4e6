"""Tokenizers in little, of the kinds that models which encode have."""

from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

_WORDS = ("the", "of", "and", "a", "text", "vector", "document", "query", "capital", "france", "paris", "is", "are", "berlin")


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer, and what ``tokenizer_config.json`` says of it."""

    tokenizer: Tokenizer
    config: dict[str, Any]

    def id(self, token: str) -> int:
        found = self.tokenizer.token_to_id(token)
        assert found is not None, token
        return found

    @property
    def size(self) -> int:
        return -(-self.tokenizer.get_vocab_size() // 8) * 8


def word_pieces() -> Vocabulary:
    """BERT's: words and pieces of them, in lower case."""
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()] + list("äöüß日本語☃")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), *_WORDS]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    ends = [("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])]
    pair = "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS]:0 $A:0 [SEP]:0", pair=pair, special_tokens=ends)
    named = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
    return Vocabulary(tokenizer, _config(named))


def word_pieces_of_two() -> Vocabulary:
    """BERT's own, by which models tell the texts of a pair apart: not all that have its vocabulary do."""
    plain = word_pieces()
    return Vocabulary(plain.tokenizer, plain.config | {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]})


def pairs_of_ends() -> Vocabulary:
    """RoBERTa's: bytes, and two ends between the texts of a pair."""
    tokenizer = _bytes(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    ends = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B:0 </s>", special_tokens=ends)
    named = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>"}
    return Vocabulary(tokenizer, _config(named | {"pad_token": "<pad>", "mask_token": "<mask>"}))


def with_an_end() -> Vocabulary:
    """Qwen3-Embedding's: bytes, behind each text an end."""
    tokenizer = _bytes(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"], ["yes", "no"])
    end = ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", pair="$A $B:1 <|endoftext|>:1", special_tokens=[end]
    )
    return Vocabulary(tokenizer, _config({"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}))


def with_both_ends() -> Vocabulary:
    """Gemma's: bytes between a beginning and an end."""
    tokenizer = _bytes(["<pad>", "<eos>", "<bos>", "<unk>"])
    ends = [(token, tokenizer.token_to_id(token)) for token in ("<bos>", "<eos>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", pair="<bos> $A <bos>:1 $B:1 <eos>:1", special_tokens=ends
    )
    return Vocabulary(tokenizer, _config({"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}))


def _bytes(specials: list[str], words: list[str] | None = None) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: number for number, token in enumerate([*specials, *alphabet])}
    merges = []
    for word in words or ():
        for size in range(2, len(word) + 1):
            merges.append((word[: size - 1], word[size - 1]))
            vocab[word[:size]] = len(vocab)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    return tokenizer


def _config(named: dict[str, str]) -> dict[str, Any]:
    return {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 10**30, "clean_up_tokenization_spaces": False, **named}
