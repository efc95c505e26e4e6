"""Log-probabilities of tokens, reduced on the device to what somebody asked for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import mlx.core as mx

from mlxd.worker.engine.sampled import SampledToken, TokenLogprob
from mlxd.worker.runtime.sampling.filters import prefers_thresholds
from mlxd.worker.runtime.sampling.finite import not_finite
from mlxd.worker.runtime.sampling.thresholds import most_likely_by_threshold
from mlxd.worker.runtime.x86 import exp

LEAST = -9999.0  # stands for minus infinity, which JSON cannot hold (vLLM says the same)
_SLICE = 32  # rows that are reduced at once: a row of logits takes several times its size meanwhile


@dataclass(frozen=True)
class ScoredRow:
    """Whose row it is, behind which guesses, and how many of the most likely tokens are wanted."""

    sequence: str
    top: int
    guessed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Scores:
    """The natural log-probabilities of one token a row, ``chosen`` ``[N]``, and of the most likely ones, ``best`` ``[N, top]``, whose ids
    are in ``ids``, in falling order. ``tokens`` ``[N]`` are the rows' tokens. Nothing need be evaluated yet.
    """

    rows: tuple[ScoredRow, ...]
    tokens: mx.array
    chosen: mx.array
    ids: mx.array
    best: mx.array

    def tensors(self) -> list[mx.array]:
        """Returns all that ``read`` reads."""
        return [self.tokens, self.chosen, self.ids, self.best]

    def read(self) -> list[SampledToken]:
        """Returns the tokens row by row; waits for the device."""
        tokens, chosen = cast("list[int]", self.tokens.tolist()), cast("list[float]", self.chosen.tolist())
        ids, best = cast("list[list[int]]", self.ids.tolist()), cast("list[list[float]]", self.best.tolist())
        tops = [tuple(map(TokenLogprob, names[: row.top], values)) for row, names, values in zip(self.rows, ids, best, strict=True)]
        return [SampledToken(*one) for one in zip(tokens, chosen, tops, strict=True)]


def score(logits: mx.array, tokens: mx.array, rows: Sequence[ScoredRow]) -> Scores:
    """Returns the scores of ``tokens`` ``[N]`` by ``logits`` ``[N, vocab]``, one row at least."""
    top = min(max(row.top for row in rows), logits.shape[-1])
    parts = [_reduce(logits[at : at + _SLICE], tokens[at : at + _SLICE], top) for at in range(0, len(rows), _SLICE)]
    chosen, ids, best = parts[0] if len(parts) == 1 else [mx.concatenate(list(found)) for found in zip(*parts, strict=True)]
    return Scores(tuple(rows), tokens, chosen, ids, best)


def checked_scores(tokens: Sequence[SampledToken]) -> Sequence[SampledToken]:
    """Returns ``tokens``. Raises ``NotFiniteError`` where a log-probability is no number."""
    if not all(token.logprob is not None and math.isfinite(token.logprob) for token in tokens):
        raise not_finite()
    return tokens


def log_sum_exp(logits: mx.array) -> mx.array:
    """Returns the log-sum-exp of each row of ``[B, vocab]``, ``[B, 1]``."""
    highest = mx.max(logits, axis=-1, keepdims=True)
    return highest + mx.log(mx.sum(exp(logits - highest), axis=-1, keepdims=True))


def _reduce(logits: mx.array, tokens: mx.array, top: int) -> list[mx.array]:
    logits = logits.astype(mx.float32)
    total = log_sum_exp(logits)
    ids = _most_likely(logits, top)
    chosen = mx.take_along_axis(logits, tokens[:, None], axis=-1) - total
    best = mx.take_along_axis(logits, ids, axis=-1) - total
    return [mx.maximum(chosen, LEAST)[:, 0], ids, mx.maximum(best, LEAST)]


def _most_likely(logits: mx.array, top: int) -> mx.array:
    """Returns ids ``[N, top]``, the most likely first."""
    if top <= 1:
        return mx.argmax(logits, axis=-1, keepdims=True)[:, :top]
    if prefers_thresholds():
        return most_likely_by_threshold(logits, top)
    found = mx.argpartition(-logits, top - 1, axis=-1)[:, :top]
    order = mx.argsort(-mx.take_along_axis(logits, found, axis=-1), axis=-1)
    return mx.take_along_axis(found, order, axis=-1)
