"""How often tokens came, for several sequences at once: sparse, for an answer has few different ones, and never read back.

A vocabulary of 150,000 counts for each of 64 sequences would be read and written whole at every step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mlx.core as mx

from mlxd.types import SamplingParams

NOTHING = -1  # where there is no token


@dataclass(frozen=True)
class Beginning:
    """What is known of a sequence before anything was generated: the tokens that are biased, and those of its prompt where they count."""

    params: SamplingParams
    ids: tuple[int, ...]
    bias: tuple[float, ...]
    in_prompt: tuple[bool, ...]

    @classmethod
    def of(cls, params: SamplingParams, prompt: Sequence[int], vocab: int) -> "Beginning":
        """Returns that of a sequence. Repetition counts prompt and output (Keskar et al. 2019, CTRL); presence and frequency the output
        only, as OpenAI defines them.
        """
        prompted = frozenset(prompt if params.repetition_penalty != 1 else ())
        ids = tuple(token for token in sorted({*params.logit_bias, *prompted}) if 0 <= token < vocab)
        bias = tuple(params.logit_bias.get(token, 0.0) for token in ids)
        return cls(params, ids, bias, tuple(token in prompted for token in ids))


@dataclass(frozen=True)
class TokenCounts:
    """The tokens that anything is known of, ``ids`` ``[S, C]``, a row a sequence, each at most once in it, ``NOTHING`` in other places; how
    often each came in the output, ``counts``; what is added to its logit, ``bias``; and whether it is ``in_prompt``. ``factors``
    ``[S, 3]`` are the penalties for repetition, frequency and presence.
    """

    ids: mx.array
    counts: mx.array
    bias: mx.array
    in_prompt: mx.array
    factors: mx.array

    @classmethod
    def empty(cls, sequences: int, columns: int) -> "TokenCounts":
        """Returns counts of no token for so many sequences."""
        shape = (sequences, columns)
        nothing, factors = mx.full(shape, NOTHING, dtype=mx.int32), mx.broadcast_to(mx.array([1.0, 0.0, 0.0]), (sequences, 3))
        return cls(nothing, mx.zeros(shape, mx.int32), mx.zeros(shape), mx.zeros(shape, mx.bool_), factors)

    def begun(self, at: int, beginning: Beginning) -> "TokenCounts":
        """Returns these with another sequence in row ``at``."""
        columns = self.ids.shape[1]
        params, rest = beginning.params, columns - len(beginning.ids)
        return TokenCounts(
            _with_row(self.ids, at, [*beginning.ids, *[NOTHING] * rest]),
            _with_row(self.counts, at, [0] * columns),
            _with_row(self.bias, at, [*beginning.bias, *[0.0] * rest]),
            _with_row(self.in_prompt, at, [*beginning.in_prompt, *[False] * rest]),
            _with_row(self.factors, at, [params.repetition_penalty, params.frequency_penalty, params.presence_penalty]),
        )

    def padded(self, sequences: int, columns: int) -> "TokenCounts":
        """Returns these in larger arrays."""
        more = TokenCounts.empty(sequences, columns)
        return TokenCounts(*map(_filled, _arrays(more), _arrays(self))) if self.ids.size else more

    def of(self, rows: Sequence[int], columns: int) -> "TokenCounts":
        """Returns the first columns of some rows, which may be in it more than once."""
        places = mx.array(list(rows))
        ids, counts, bias, in_prompt = (array[:, :columns][places] for array in (self.ids, self.counts, self.bias, self.in_prompt))
        return TokenCounts(ids, counts, bias, in_prompt, self.factors[places])

    def behind(self, tokens: mx.array) -> "TokenCounts":
        """Returns these behind more ``tokens`` ``[S, K]`` of the output, in ``K`` more columns; some may be ``NOTHING``."""
        more, new = _taken_in(self.ids, tokens), mx.zeros(tokens.shape)
        return replace(
            self,
            ids=mx.concatenate([self.ids, more.ids], axis=1),
            counts=mx.concatenate([self.counts + more.known, more.counts], axis=1),
            bias=mx.concatenate([self.bias, new], axis=1),
            in_prompt=mx.concatenate([self.in_prompt, new.astype(mx.bool_)], axis=1),
        )

    def written(self, rows: Sequence[int], columns: Sequence[int], tokens: mx.array) -> "TokenCounts":
        """Returns these with more ``tokens`` ``[len(rows), K]`` of the output in their rows. There must be nothing from each row's one of
        ``columns`` on, and place for ``K``.
        """
        places = mx.array(list(rows))
        more = _taken_in(self.ids[places], tokens)
        into = (places[:, None], mx.array(list(columns))[:, None] + mx.arange(tokens.shape[1]))
        counts = self.counts.at[places].add(more.known.astype(mx.int32)).at[into].add(more.counts.astype(mx.int32))
        return replace(self, ids=self.ids.at[into].add(more.ids - NOTHING), counts=counts)

    def penalised(self, logits: mx.array) -> mx.array:
        """Returns the logits ``[S, C]`` of ``ids`` with bias and penalties, in this order."""
        repetition, frequency, presence = (self.factors[:, at : at + 1] for at in range(3))
        logits = logits + self.bias
        repeated = mx.where(logits > 0, logits / repetition, logits * repetition)
        came = self.counts > 0
        logits = mx.where(self.in_prompt | came, repeated, logits)
        return logits - frequency * self.counts - presence * came


@dataclass(frozen=True)
class _Taken:
    """What more tokens change: how often each token that was known came now, ``known`` ``[S, C]``; and those that were not, once each,
    ``ids`` and ``counts`` ``[S, K]``.
    """

    known: mx.array
    ids: mx.array
    counts: mx.array


def _taken_in(ids: mx.array, tokens: mx.array) -> _Taken:
    if tokens.shape[1] == 1:  # as in most steps
        match = ids == tokens
        is_known = mx.any(match, axis=1, keepdims=True)
        return _Taken(match, mx.where(is_known, NOTHING, tokens), ~is_known)
    is_one = tokens != NOTHING
    match = (ids[:, :, None] == tokens[:, None, :]) & is_one[:, None]
    same = tokens[:, :, None] == tokens[:, None, :]
    is_new = is_one & ~mx.any(match, axis=1) & ~mx.any(mx.tril(same, -1), axis=2)  # nor did it come before among these
    return _Taken(mx.sum(match, axis=2), mx.where(is_new, tokens, NOTHING), mx.where(is_new, mx.sum(same, axis=2), 0))


def _arrays(counts: TokenCounts) -> tuple[mx.array, ...]:
    return counts.ids, counts.counts, counts.bias, counts.in_prompt, counts.factors


def _with_row(array: mx.array, at: int, row: list[float]) -> mx.array:
    copy = mx.array(array)
    copy[at] = mx.array(row, dtype=array.dtype)
    return copy


def _filled(new: mx.array, old: mx.array) -> mx.array:
    new[: old.shape[0], : old.shape[1]] = old
    return new
