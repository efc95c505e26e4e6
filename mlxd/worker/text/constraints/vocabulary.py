"""A model's vocabulary as grammars need it."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from random import Random
from string import printable
from typing import Any

from llguidance import LLTokenizer

_WORD = 32  # bits


class UnknownVocabularyError(Exception):
    """A tokenizer whose tokens' bytes are not known; the message says why. Its model answers without grammars."""


class Vocabulary:
    """The tokens of one model, ``width`` of them as its logits count, of which ``ends`` end an answer. It may be used by several threads
    at once.

    Markers of calls and of reasoning are single tokens in some vocabularies, and text in others: ``written`` knows.
    """

    def __init__(self, tokenizer: LLTokenizer, *, width: int, ends: Collection[int], added: Mapping[str, int]) -> None:
        self.tokenizer = tokenizer
        self.width = width
        self.ends = frozenset(ends)
        self._added = frozenset(added)
        self._tokens = {text: token for text, token in added.items() if token < width and tokenizer.is_special_token(token)}
        spellings = sorted(self._tokens, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, spellings)) or r"(?!)")
        self._keeps_ascii = self._returns(printable)

    @property
    def mask_bytes(self) -> int:
        """Returns the size of a mask."""
        return -(-self.width // _WORD) * (_WORD // 8)

    def token(self, text: str) -> int | None:
        """Returns the token that is spelled like this and stands for no other text; None where there is none."""
        return self._tokens.get(text)

    def knows(self, text: str) -> bool:
        """Tells whether a token was added that is spelled like this, whatever it stands for."""
        return text in self._added

    def marked(self, text: str) -> tuple[str, str] | None:
        """Returns what stands before the first marker in a text that is a token, and that marker; None where there is none."""
        found = self._pattern.search(text)
        return None if found is None else (text[: found.start()], found[0])

    def tokens(self, text: str) -> list[int]:
        """Returns the tokens of a text, of its markers those that are spelled like them."""
        return list(self.tokenizer.tokenize_str(text, parse_special=True))

    def text(self, token: int) -> str:
        """Returns what a token stands for, the spelling where it is a marker; U+FFFD where it is a part of a character."""
        return self.tokenizer.decode_str([token])

    def written(self, text: str) -> str:
        """Returns the expression of a grammar for a text of the model's own format, whose markers are tokens where they can be."""
        parts, begin = [], 0
        for found in self._pattern.finditer(text):
            parts += [quoted(text[begin : found.start()]), f"<[{self._tokens[found[0]]}]>"]
            begin = found.end()
        return " ".join(part for part in [*parts, quoted(text[begin:])] if part != quoted(""))

    def free(self, body: str, excluded: Collection[str]) -> str:
        """Returns the expression of a text in which markers may stand, but those that are ``excluded`` and the end tokens. ``body`` is the
        name of its texts, which may be empty.
        """
        kept = self.ends.union(self._tokens.get(text, -1) for text in excluded)
        others = ",".join(_ranges(sorted(token for token in self._tokens.values() if token not in kept)))
        return f"{body} (<[{others}]> {body})*" if others else body

    def keeps(self, text: str) -> bool:
        """Tells whether the tokens of a text stand for just that text. They do not where a marker is spelled in it, nor where the tokenizer
        makes one form of several, as many compose accents, or writes spaces as a character that text may hold itself.
        """
        if self._pattern.search(text) is not None or not self._keeps_ascii:
            return False
        return text.isascii() or self._returns(text)

    def _returns(self, text: str) -> bool:
        found: bytes = self.tokenizer.decode_bytes(self.tokenizer.tokenize_str(text))
        return found == text.encode(errors="surrogatepass")

    def mask(self, tokens: Collection[int]) -> bytes:
        """Returns the mask that allows these tokens only."""
        bits = bytearray(self.mask_bytes)
        for token in tokens:
            bits[token // 8] |= 1 << token % 8
        return bytes(bits)

    def mask_without(self, tokens: Collection[int]) -> bytes:
        """Returns the mask that allows all tokens but these."""
        bits = bytearray(b"\xff" * self.mask_bytes)
        for token in tokens:
            bits[token // 8] &= ~(1 << token % 8)
        return bytes(bits)


def open_vocabulary(tokenizer: Any, *, width: int, ends: Collection[int]) -> Vocabulary:
    """Returns the vocabulary of one of transformers' tokenizers, or of a wrapper around one; it takes up to seconds.

    Raises ``UnknownVocabularyError`` where the tokenizer is none of the library's fast ones, or llguidance cannot read it.
    """
    inner = getattr(tokenizer, "backend_tokenizer", None)
    if inner is None:
        raise UnknownVocabularyError("its tokenizer is none of the tokenizers library's, so the bytes of its tokens are not known")
    known = [end for end in ends if end < width]
    if not known:
        raise UnknownVocabularyError("no token is known that ends an answer")
    try:
        made = LLTokenizer(_plain(inner), n_vocab=max(width, inner.get_vocab_size()), eos_token=sorted(known))
    except BaseException as error:  # a panic of the library is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        raise UnknownVocabularyError(f"its tokenizer cannot be used for grammars: {error}") from error
    added = {entry.content: token for token, entry in inner.get_added_tokens_decoder().items()}
    return Vocabulary(made, width=width, ends=known, added=added)


def _plain(inner: Any) -> str:
    """Returns the serialized tokenizer without what only batches need."""
    text = str(inner.to_str())
    if inner.padding is None and inner.truncation is None:
        return text
    return json.dumps(json.loads(text) | {"padding": None, "truncation": None}, ensure_ascii=False)


def _ranges(tokens: Sequence[int]) -> Iterator[str]:
    """Yields what of sorted tokens follows one another as "first-last"."""
    for _, group in groupby(enumerate(tokens), lambda one: one[1] - one[0]):
        found = [token for _, token in group]
        yield f"{found[0]}-{found[-1]}" if len(found) > 1 else str(found[0])


def allows_any(mask: bytes, tokens: Collection[int]) -> bool:
    """Tells whether a mask allows one of ``tokens`` at least."""
    return any(mask[token // 8] >> token % 8 & 1 for token in tokens)


def any_of(mask: bytes, chance: Random) -> int:
    """Returns one of the tokens that a mask allows, of which there must be one."""
    bits = int.from_bytes(mask, "little")
    above = bits >> chance.randrange(bits.bit_length())  # has the highest bit at least
    skipped = bits.bit_length() - above.bit_length()
    return skipped + (above & -above).bit_length() - 1


def without(text: str) -> str:
    """Returns the expression of texts that do not hold ``text``, which is spelled in codes: no marker's spelling is in the grammar."""
    return "~/(?s:.*)" + "".join(f"\\x{{{ord(character):x}}}" for character in text) + "(?s:.*)/"


def quoted(text: str) -> str:
    """Returns a text as a literal of a grammar."""
    return json.dumps(text, ensure_ascii=False)
