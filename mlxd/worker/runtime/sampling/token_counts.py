"""How often tokens came, for several sequences at once: sparse, for an answer has few different ones, and never read back.

A vocabulary of 150,000 counts for each of 64 sequences would be read and written whole at every step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mlx.core as mx

from mlxd.types import SamplingParams
from mlxd.worker.runtime.sampling.fused import fused

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
        return TokenCounts(*_behind(_arrays(self), tokens))

    def written(self, rows: Sequence[int], columns: Sequence[int], tokens: mx.array) -> "TokenCounts":
        """Returns these with more ``tokens`` ``[len(rows), K]`` of the output in their rows. There must be nothing from each row's one of
        ``columns`` on, and place for ``K``.
        """
        ids, counts = _written(self.ids, self.counts, mx.array(list(rows)), mx.array(list(columns))[:, None], tokens)
        return replace(self, ids=ids, counts=counts)

    def penalised(self, logits: mx.array, places: Sequence[int]) -> mx.array:
        """Returns ``logits`` ``[R, vocab]``, float32, whose rows at ``places`` get the biases and then the penalties of the rows here.
        Nothing but the logits of ``ids`` is read or changed, beside the copy.
        """
        return _penalised(logits, mx.array(list(places))[:, None], _arrays(self))


@fused
def _penalised(logits: mx.array, places: mx.array, arrays: tuple[mx.array, ...]) -> mx.array:
    known, (rows, vocab) = TokenCounts(*arrays), logits.shape
    spare = rows * vocab  # where places without a token read and write
    flat = mx.concatenate([logits.astype(mx.float32).reshape(-1), mx.zeros((1,))])
    index = mx.where(known.ids == NOTHING, spare, known.ids + vocab * places).reshape(-1)
    values = _changed(flat[index].reshape(known.ids.shape), known)
    return mx.put_along_axis(flat, index, values.reshape(-1), axis=0)[:spare].reshape(rows, vocab)


def _changed(logits: mx.array, known: TokenCounts) -> mx.array:
    repetition, frequency, presence = (known.factors[:, at : at + 1] for at in range(3))
    logits, came = logits + known.bias, known.counts > 0
    repeated = mx.where(logits > 0, logits / repetition, logits * repetition)
    return mx.where(known.in_prompt | came, repeated, logits) - frequency * known.counts - presence * came


@fused
def _behind(arrays: tuple[mx.array, ...], tokens: mx.array) -> tuple[mx.array, ...]:
    ids, counts, bias, in_prompt, factors = arrays
    more, new = _taken_in(ids, tokens), mx.zeros(tokens.shape)
    return (
        mx.concatenate([ids, more.ids], axis=1),
        mx.concatenate([counts + more.known, more.counts], axis=1),
        mx.concatenate([bias, new], axis=1),
        mx.concatenate([in_prompt, new.astype(mx.bool_)], axis=1),
        factors,
    )


@fused
def _written(ids: mx.array, counts: mx.array, rows: mx.array, columns: mx.array, tokens: mx.array) -> tuple[mx.array, mx.array]:
    more, into = _taken_in(ids[rows], tokens), (rows[:, None], columns + mx.arange(tokens.shape[1]))
    counts = counts.at[rows].add(more.known.astype(mx.int32)).at[into].add(more.counts.astype(mx.int32))
    return ids.at[into].add(more.ids - NOTHING), counts


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
