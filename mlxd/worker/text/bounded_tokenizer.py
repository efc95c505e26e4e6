"""Texts of any size to as many tokens as can matter: of a megabyte, a model that takes 512 tokens needs the beginning alone."""

from typing import Protocol

_PER_TOKEN = 8  # characters of a text that is read first, for each token that the model takes: of most languages, that is enough
_LEAST = 4096  # characters of it
_GROWTH = 4
_MARGIN = 64  # tokens: those at the end of a part may be others in the whole text
_MOST = 2**20  # characters that are read of any text: one of fewer tokens is no language, and would take minutes


class Encoding(Protocol):
    """What is used of the ``Encoding`` of the ``tokenizers`` library."""

    ids: list[int]
    type_ids: list[int]
    special_tokens_mask: list[int]

    def truncate(self, max_length: int) -> None:
        """Cuts it at its end."""


class PairTokenizer(Protocol):
    """What is used of a ``Tokenizer`` of the ``tokenizers`` library, which neither truncates nor fills up. Threads may share it."""

    # One text is a batch, too: of the library's calls, only this one lets other threads of Python run meanwhile.
    def encode_batch_fast(self, input: list[str], *, add_special_tokens: bool) -> list[Encoding]:  # noqa: A002 - the library's
        """Returns the tokens of texts."""

    def post_process(self, encoding: Encoding, pair: Encoding | None = None, *, add_special_tokens: bool = True) -> Encoding:
        """Returns a text, or a pair, with the tokens that mark their ends."""

    def num_special_tokens_to_add(self, is_pair: bool) -> int:  # noqa: FBT001 - the library's
        """Returns how many tokens that is."""


class BoundedTokenizer:
    """A tokenizer for a model that takes ``most_tokens``."""

    def __init__(self, tokenizer: PairTokenizer, most_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._most = most_tokens
        self._first = max(_LEAST, _PER_TOKEN * most_tokens)

    def encode(self, text: str, *, add_special_tokens: bool = False) -> Encoding:
        """Returns all tokens of a text."""
        return self._tokenizer.encode_batch_fast([text], add_special_tokens=add_special_tokens)[0]

    def beginning(self, text: str) -> str:
        """Returns the text; of a long one the beginning, which has more tokens than the model takes, or more characters than are read."""
        size = self._first
        while size < min(len(text), _MOST):
            if len(self.encode(text[:size]).ids) > self._most + _MARGIN:
                return text[:size]
            size *= _GROWTH
        return text[:_MOST]
