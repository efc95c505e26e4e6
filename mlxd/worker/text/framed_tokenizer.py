"""Rendered conversations to token ids, where what clients wrote never becomes a control token.

Before a template sees a client's string, every spelling of a control token in it is broken by a mark. What is still whole in the rendered
text is the template's own. Marks are noncharacters (Unicode 23.7): no text has them, templates pass them on, and they go before
tokenizing.
"""

import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from mlxd.worker.text.token_kinds import control_tokens

MARK = "\ufdd0"  # inside what must not be a control token
END = "\ufdd1"  # behind the last message, where it is to be continued
_NOT_A_MARK = "\ufffd"  # what becomes of these where a client wrote them
_ANCHOR = "\n"
_WINDOW = 100_000  # characters


class Tokenizer(Protocol):
    """What is used of a tokenizer (mlx-lm's ``TokenizerWrapper`` around one of transformers)."""

    bos_token: str | None
    unk_token_id: int | None
    added_tokens_decoder: Mapping[int, Any]
    all_special_ids: list[int]
    all_special_tokens: list[str]

    def get_vocab(self) -> dict[str, int]:
        """Returns every token's text, as the vocabulary spells it, and its id."""

    def encode(self, text: str, *, add_special_tokens: bool, split_special_tokens: bool = False) -> list[int]:
        """Returns the token ids of ``text``. With ``split_special_tokens``, the spelling of a control token is text like any other."""


class FramedTokenizer:
    """A tokenizer of rendered conversations, which may be used by several threads at once."""

    def __init__(self, tokenizer: Tokenizer, others: Mapping[str, int] | None = None) -> None:
        """``others`` are tokens, by their spelling, that are no more for clients to write than control tokens are."""
        self._tokenizer = tokenizer
        self._added = tokenizer.added_tokens_decoder
        named = control_tokens(tokenizer) | {token: spelling for spelling, token in (others or {}).items()}
        controls = {token: spelling for token, spelling in named.items() if len(spelling) > 1}
        self._ids = {spelling: token for token, spelling in controls.items()}
        self._forbidden = controls.keys() - {tokenizer.unk_token_id}  # unknown characters become that one
        spellings = sorted(self._ids, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, spellings)) or r"(?!)")
        self._any_case = re.compile(self._pattern.pattern, re.IGNORECASE)  # a template may change it
        self._beginnings = {spelling[:size].lower() for spelling in spellings for size in range(1, len(spelling))}
        self._longest = max(map(len, spellings), default=1)
        self._lock = threading.Lock()  # transformers sets a flag of the tokenizer for each call

    def guarded(self, text: str) -> str:
        """Returns a client's string with marks in it, for a template to render and ``encode`` to tokenize."""
        text = text.replace(MARK, _NOT_A_MARK).replace(END, _NOT_A_MARK)
        pieces, begin = [], 0
        for found in self._spelled(self._any_case, text):
            pieces.append(text[begin : found.start() + 1])
            begin = found.start() + 1
        text = MARK.join([*pieces, text[begin:]])
        tail = text[-self._longest :].lower()
        begins = any(tail[at:] in self._beginnings for at in range(len(tail)))
        return text + MARK if begins else text  # what follows it in the template may not complete it

    def encode(self, rendered: str) -> list[int]:
        """Returns the token ids of a rendered text without its marks. They are those of the text as it is, unless that would make
        control tokens beside the template's own.
        """
        own = Counter(self._ids[found[0]] for found in self._spelled(self._pattern, rendered))
        tokens = self._encode(rendered.replace(MARK, ""), split=False)
        if self._forbidden.isdisjoint((Counter(tokens) - own).keys()):
            return tokens
        return [*self._in_pieces(rendered)]

    def spelled(self, rendered: str) -> list[re.Match[str]]:
        """Returns the control tokens that a template wrote, in order."""
        return [*self._spelled(self._pattern, rendered)]

    def encode_text(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Returns the token ids of ``text``, control tokens included where they are spelled."""
        with self._lock:
            return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens))

    def _spelled(self, pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
        """Yields the control tokens in ``text``, found in windows: a search holds up every other thread until it returns."""
        begin = 0
        while begin < len(text):
            end = begin + _WINDOW
            found = pattern.search(text, begin, end + self._longest)
            if found is None or found.start() >= end:
                begin = end
            else:
                yield found
                begin = found.end()

    def _in_pieces(self, rendered: str) -> Iterator[int]:
        """Yields the template's own control tokens, and everything between them as text."""
        begin, strip = 0, False
        for found in self._spelled(self._pattern, rendered):
            token = self._ids[found[0]]
            added = self._added.get(token)
            yield from self._text(rendered[begin : found.start()], begin, left=strip, right=bool(added and added.lstrip))
            yield token
            begin, strip = found.end(), bool(added and added.rstrip)
        yield from self._text(rendered[begin:], begin, left=strip, right=False)

    def _text(self, marked: str, begin: int, *, left: bool, right: bool) -> list[int]:
        """Returns the tokens of a text without the white space that control tokens beside it take."""
        text = marked.replace(MARK, "")
        text = text.lstrip() if left else text
        text = text.rstrip() if right else text
        return self._plain(text) if begin == 0 else self._continued(text)

    def _continued(self, text: str) -> list[int]:
        """Returns the tokens of a text that goes on, without the space that some tokenizers put before a text."""
        anchor, tokens = self._plain(_ANCHOR), self._plain(_ANCHOR + text)
        return tokens[len(anchor) :] if tokens[: len(anchor)] == anchor else self._plain(text)

    def _plain(self, text: str) -> list[int]:
        tokens = self._encode(text, split=True) if text else []
        if self._forbidden.isdisjoint(tokens):
            return tokens
        return [token for character in text for token in self._encode(character, split=True)]  # a vocabulary that has it as a word

    def _encode(self, text: str, *, split: bool) -> list[int]:
        with self._lock:
            if split:
                return list(self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))
            return list(self._tokenizer.encode(text, add_special_tokens=False))
