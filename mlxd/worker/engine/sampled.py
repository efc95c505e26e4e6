"""Sampled tokens, from the executor through report and events to text: tuples per sequence, for a step may give several."""

import msgspec


class TokenLogprob(msgspec.Struct, frozen=True):
    """A token id and the natural logarithm of its probability."""

    id: int
    logprob: float


class SampledToken(msgspec.Struct, frozen=True):
    """The id of a sampled token, or of a prompt's; where the request asked for them, its log-probability, and the most likely tokens of its
    position, in falling order. Log-probabilities are natural, of the model's own logits: before bias, penalties, temperature and
    constraints (vLLM's "raw"); and finite.
    """

    id: int
    logprob: float | None = None
    top: tuple[TokenLogprob, ...] = ()


class SampledRow(msgspec.Struct, frozen=True):
    """A row of a step that a token of ``sequence`` is sampled from: the one behind its newest token, or behind the tokens ``guessed`` to
    come next, which are computed in the very same step. Its token counts where each guess is what was sampled.
    """

    sequence: str
    guessed: tuple[int, ...] = ()


class Sampled(msgspec.Struct, frozen=True):
    """The next tokens of the sequence of one request, one at least. With ``is_end`` the last of them is an end-of-sequence token,
    which has no text. The first ``accepted`` of its tokens had been guessed, and so many other guesses were ``rejected``: wrong ones, and
    those behind them.
    """

    id: str
    tokens: tuple[SampledToken, ...]
    is_end: bool
    accepted: int = 0
    rejected: int = 0

    @property
    def with_text(self) -> tuple[SampledToken, ...]:
        """Returns the tokens that have text."""
        return self.tokens[:-1] if self.is_end else self.tokens
