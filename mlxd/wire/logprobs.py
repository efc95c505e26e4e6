"""Log-probabilities of tokens, for people who read the tokens' texts."""

import msgspec


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A token that could have been. ``logprob`` is natural, and finite."""

    id: int
    text: str  # U+FFFD stands for bytes that are no character by themselves
    raw: bytes
    logprob: float


class TokenLogprobs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token that was generated, or is the prompt's; ``top`` are the most likely tokens in its place, in falling order. ``logprob`` is
    None for a prompt's first token.
    """

    id: int
    text: str
    raw: bytes
    logprob: float | None
    top: list[Candidate] = []
