"""``choices[].logprobs`` of text completions: four lists with an entry for each token, and where in the text each begins."""

import codecs
from collections.abc import Sequence
from typing import Any

from mlxd.wire.logprobs import Candidate, TokenLogprobs


class TextLogprobs:
    """The log-probabilities of one choice, told piece by piece. Offsets count characters from the beginning of the choice's text, which
    may be its prompt's.
    """

    def __init__(self) -> None:
        self._characters = 0
        self._decoder = _decoder()

    def echo(self, text: str, tokens: Sequence[TokenLogprobs]) -> dict[str, Any]:
        """Returns those of the prompt, whose ``text`` the choice begins with. Tokens that the tokenizer put before it, such as one that
        begins every sequence, are not in the text: they are at 0.
        """
        before = len(b"".join(token.raw for token in tokens).decode(errors="replace")) - len(text)
        self._characters = -max(0, before)
        told = self.more(tokens)
        self._characters, self._decoder = len(text), _decoder()
        return told

    def more(self, tokens: Sequence[TokenLogprobs]) -> dict[str, Any]:
        """Returns those of the next tokens."""
        return {
            "tokens": [spelled(token) for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [None if token.logprob is None else _candidates(token, token.logprob) for token in tokens],
            "text_offset": [self._offset(token.raw) for token in tokens],
        }

    def _offset(self, raw: bytes) -> int:
        """Returns where a token begins: one in the middle of a character, where that does."""
        at = self._characters
        self._characters += len(self._decoder.decode(raw))
        return max(0, at)


def spelled(token: TokenLogprobs | Candidate) -> str:
    """Returns the token's text; of bytes that are no text by themselves their codes, as OpenAI writes them, so that no two tokens look the
    same.
    """
    try:
        return token.raw.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.raw)


def _candidates(token: TokenLogprobs, logprob: float) -> dict[str, float]:
    """Returns the most likely tokens, and the one that it was. Of two that look the same, the likelier one counts."""
    found: dict[str, float] = {}
    for candidate in token.top:
        found.setdefault(spelled(candidate), candidate.logprob)
    found.setdefault(spelled(token), logprob)
    return found


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")(errors="replace")
