"""Log-probabilities of tokens, with the texts by which people read them."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Protocol

from mlxd.wire.logprobs import Candidate, TokenLogprobs
from mlxd.wire.output_spec import OutputSpec
from mlxd.worker.text.token_kinds import TokenKinds

_REMEMBERED = 2**16  # tokens whose bytes are not looked up again
_ANCHORS = 4096  # token ids among which there is a letter


class ScoredId(Protocol):
    """A token id with its log-probability."""

    @property
    def id(self) -> int:
        """Returns the token's id."""

    @property
    def logprob(self) -> float | None:
        """Returns the natural logarithm of its probability; None where nobody asked for it."""


class ScoredToken(ScoredId, Protocol):
    """A token with its log-probability, and the most likely ones in its place."""

    @property
    def top(self) -> Sequence[ScoredId]:
        """Returns the most likely ones, in falling order."""


class TokenTexts:
    """The bytes of single tokens, as they stand in the middle of a text: whoever joins those of an answer's tokens has its text. Control
    tokens have their spelling. ``decode`` turns token ids into text.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], kinds: TokenKinds) -> None:
        self._decode = decode
        self._kinds = kinds
        self._anchor: int | None = None
        self.raw = lru_cache(_REMEMBERED)(self._raw)  # of this object, so that it goes with its model

    def first(self, token: int) -> bytes:
        """Returns the bytes of a token that begins a text: some tokenizers drop the space before it."""
        known = self._known(token)
        return self._decode([token]).encode() if known is None else known

    def _raw(self, token: int) -> bytes:
        """Returns the bytes of a token behind others. Where its own are not known, they are what decoding it adds behind a letter."""
        known = self._known(token)
        if known is not None:
            return known
        if self._anchor is None:
            self._anchor = self._find_anchor()
        return self._decode([self._anchor, token])[len(self._decode([self._anchor])) :].encode()

    def _known(self, token: int) -> bytes | None:
        spelling = self._kinds.controls.get(token)
        if spelling is not None:
            return spelling.encode()
        return None if self._kinds.raw_bytes is None else self._kinds.raw_bytes(token)

    def _find_anchor(self) -> int:
        letters = (token for token in range(_ANCHORS) if token not in self._kinds.controls and self._decode([token]).strip().isalpha())
        return next(letters, 0)


class AnswerLogprobs:
    """The log-probabilities of one answer. They are of the tokens whose text is shown, in whole or in part, be it content, reasoning or a
    call: of end tokens, of control tokens that are not shown, and of what a stop string cuts off there are none. A token's are held back
    as long as a stop string may begin in its text.
    """

    def __init__(self, texts: TokenTexts, controls: Iterable[int], spec: OutputSpec) -> None:
        self.cumulative = 0.0  # over all generated tokens
        self._texts = texts
        self._hidden = frozenset() if spec.special_tokens else frozenset(controls)
        self._include_stop = spec.include_stop
        self._reach = max((len(stop.encode()) for stop in spec.stop), default=1) - 1  # bytes that may turn out to begin a stop string
        self._held: list[TokenLogprobs] = []

    def push(self, token: ScoredToken) -> None:
        """Takes a generated token that is no end."""
        self.push_end(token)
        if token.id not in self._hidden:
            self._held.append(token_logprobs(self._texts, token))

    def push_end(self, token: ScoredToken) -> None:
        """Takes the token that ends the answer."""
        self.cumulative += token.logprob or 0.0

    def take(self) -> list[TokenLogprobs]:
        """Returns those that no stop string can cut off any more, and that were not returned yet."""
        count, behind = len(self._held), 0
        while count and behind < self._reach:
            count -= 1
            behind += len(self._held[count].raw)
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def finish(self, matched: str | None) -> list[TokenLogprobs]:
        """Returns the rest, up to the stop string that ended the answer, if one did."""
        held, self._held = self._held, []
        shown = None if matched is None else self._shown(held, matched.encode())
        return held if shown is None else _before(held, shown)

    def _shown(self, held: Sequence[TokenLogprobs], stop: bytes) -> int | None:
        """Returns how many bytes of what is held are shown. The stop string became complete with the last token, so it ends in that one;
        None where it is not found.
        """
        text = b"".join(one.raw for one in held)
        last = len(held[-1].raw) if held else 0
        at = text.find(stop, max(0, len(text) - last - len(stop) + 1))
        at = text.rfind(stop) if at < 0 else at
        return None if at < 0 else at + (len(stop) if self._include_stop else 0)


def prompt_logprobs(texts: TokenTexts, first: int, others: Iterable[ScoredToken]) -> list[TokenLogprobs]:
    """Returns those of a prompt: of its first token there is none, for nothing came before it."""
    raw = texts.first(first)
    beginning = TokenLogprobs(id=first, text=_text(raw), raw=raw, logprob=None)
    return [beginning, *(token_logprobs(texts, token) for token in others)]


def token_logprobs(texts: TokenTexts, token: ScoredToken) -> TokenLogprobs:
    """Returns the token's, with texts."""
    raw = texts.raw(token.id)
    top = [_candidate(texts, one) for one in token.top]
    return TokenLogprobs(id=token.id, text=_text(raw), raw=raw, logprob=token.logprob, top=top)


def _candidate(texts: TokenTexts, token: ScoredId) -> Candidate:
    raw = texts.raw(token.id)
    return Candidate(id=token.id, text=_text(raw), raw=raw, logprob=token.logprob or 0.0)


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _before(held: Sequence[TokenLogprobs], shown: int) -> list[TokenLogprobs]:
    """Returns those whose text begins within the first ``shown`` bytes."""
    kept, begin = [], 0
    for one in held:
        if begin >= shown:
            break
        kept.append(one)
        begin += len(one.raw)
    return kept
