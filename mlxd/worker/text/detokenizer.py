"""Tokens to text, one at a time, without ever splitting a character."""

import codecs
from collections.abc import Callable, Sequence
from itertools import accumulate, takewhile

from mlxd.worker.text.token_kinds import TokenKinds

_CONTEXT = 5  # prompt tokens that decide how the first token is spaced
_LONGEST_TAIL = 3  # tokens that a character may lack its end for: it has four bytes at most
_MOST_PENDING = 8  # tokens without any text that may still decide how the next one is spaced
_REPLACEMENT = "\ufffd"
_UTF8 = codecs.getincrementaldecoder("utf-8")


class Detokenizer:
    """A decoder that goes token by token, by prefix offset (text-generation-inference and vLLM do the same): a token's text is what
    decoding it *after its neighbours* adds, which is right for every kind of tokenizer.

    ``decode`` turns token ids into text and skips control tokens. A step decodes a bounded number of tokens, whatever came before. A
    character is held back while tokens that complete it may come; one that cannot be completed any more is U+FFFD at once (where nothing is
    known of the tokens' bytes, after ``_LONGEST_TAIL`` more).
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int] = (), kinds: TokenKinds | None = None) -> None:
        self._decode = decode
        self._kinds = kinds or TokenKinds()
        self._context = list(prompt[-_CONTEXT:])  # tokens whose text is out
        self._before = decode(self._context)
        self._pending: list[int] = []

    def push(self, token: int) -> str:
        """Returns the text this token completes; empty while a character is incomplete."""
        if token in self._kinds.controls:
            return ""
        self._pending.append(token)
        now = self._decode(self._context + self._pending)
        if now.endswith(_REPLACEMENT):
            return self._settle(self._tail())
        if len(now) <= len(self._before):
            del self._pending[:-_MOST_PENDING]
            return ""
        self._context, self._pending = self._pending, []
        text = now[len(self._before) :]
        self._before = self._decode(self._context)
        return text

    def flush(self) -> str:
        """Returns what is left at the end: an incomplete character comes out as U+FFFD."""
        return self._settle(0)

    def _tail(self) -> int:
        """Returns how many of the last pending tokens hold the beginning of a character that may still be completed."""
        recent = self._pending[-_LONGEST_TAIL:]
        if self._kinds.raw_bytes is None:
            return self._likely_tail()
        known = [*takewhile(lambda piece: piece is not None, map(self._kinds.raw_bytes, reversed(recent)))]
        decoder = _UTF8(errors="replace")
        decoder.decode(b"".join(piece or b"" for piece in reversed(known)))
        unfinished, _ = decoder.getstate()
        sizes = accumulate(len(piece or b"") for piece in known)
        return sum(1 for before in [0, *sizes][: len(known)] if before < len(unfinished))

    def _likely_tail(self) -> int:
        """Guesses the tail where bytes are unknown: a cut is between characters if both sides say what they say together."""
        pending, decode = self._pending, self._decode
        if len(pending) <= _LONGEST_TAIL:
            return len(pending)
        together = decode(pending)
        tails = range(_LONGEST_TAIL, 0, -1)
        return next((tail for tail in tails if decode(pending[:-tail]) + decode(pending[-tail:]) == together), 0)

    def _settle(self, tail: int) -> str:
        """Returns the text of the pending tokens but the last ``tail``. What has no sense is no context for what follows."""
        cut = len(self._pending) - tail
        settled, self._pending = self._pending[:cut], self._pending[cut:]
        if not settled:
            return ""
        pieces = [self._kinds.raw_bytes(token) if self._kinds.raw_bytes else None for token in settled]
        if None in pieces:
            return self._decode(self._context + settled)[len(self._before) :]
        return b"".join(piece or b"" for piece in pieces).decode(errors="replace")
