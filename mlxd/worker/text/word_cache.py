"""What the ``tokenizers`` library remembers of the words that it has tokenized."""

from typing import Any

_WORDS = "Seven words, and a mark or two."


def bound_word_cache(tokenizer: Any) -> None:
    """Lets a tokenizer that does not cut texts into words remember none of them.

    The library remembers the tokens of 10,000 pieces of up to 256 bytes in each thread, which for words are some MiB. Where a text is one
    piece, as for some SentencePiece models, it is short prompts that would be remembered, about 5 KB each, and few of them ever come again.
    """
    inner = getattr(tokenizer, "backend_tokenizer", None)
    resize = getattr(getattr(inner, "model", None), "_resize_cache", None)  # the library's only way to say it
    if resize is not None and not _cuts_words(inner):
        resize(0)


def _cuts_words(inner: Any) -> bool:
    if inner.pre_tokenizer is None:
        return False
    text = _WORDS if inner.normalizer is None else inner.normalizer.normalize_str(_WORDS)
    return len(inner.pre_tokenizer.pre_tokenize_str(text)) > 1
