"""Tokens to text, one at a time, without ever splitting a character."""

from collections.abc import Callable, Sequence

_CONTEXT = 5  # prompt tokens that decide how the first token is spaced
_INCOMPLETE = "\ufffd"


class Detokenizer:
    """Incremental decoding by prefix offset (text-generation-inference and vLLM do the same): a token's text is what
    decoding it *after its neighbours* adds, which is right for every kind of tokenizer.

    ``decode`` turns token ids into text and skips special tokens.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int] = ()) -> None:
        self._decode = decode
        self._ids = list(prompt[-_CONTEXT:])
        self._read = len(self._ids)  # tokens whose text is out

    def push(self, token: int) -> str:
        """The text this token completes; empty while a character is incomplete."""
        self._ids.append(token)
        before, now = self._decode(self._ids[: self._read]), self._decode(self._ids)
        if len(now) <= len(before) or now.endswith(_INCOMPLETE):
            return ""
        self._forget()
        return now[len(before) :]

    def flush(self) -> str:
        """What is left at the end: an incomplete character comes out as U+FFFD."""
        before, now = self._decode(self._ids[: self._read]), self._decode(self._ids)
        self._forget()
        return now[len(before) :]

    def _forget(self) -> None:
        """Keep as context only the tokens that came out last."""
        self._ids = self._ids[self._read :] or self._ids
        self._read = len(self._ids)
