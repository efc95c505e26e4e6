"""Answers that must not end yet."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledRow
from mlxd.worker.runtime.sampling.logits_processor import LogitsProcessor, NewTokens


@dataclass
class _Held:
    """A sequence that may not end with one of the tokens ``ends`` before ``left`` more have come."""

    ends: list[int]
    left: int


class NoEnd(LogitsProcessor):
    """No token that ends an answer comes among its first ``min_tokens``, but where nothing else may: what a constraint asks goes first.
    ``end_tokens`` are those of the model.
    """

    def __init__(self, vocab: int, end_tokens: Collection[int]) -> None:
        self._vocab = vocab
        self._end_tokens = end_tokens
        self._held: dict[str, _Held] = {}

    @override
    def open(self, request: EngineRequest) -> None:
        left = request.stopping.min_tokens
        ends = [end for end in request.ends(self._end_tokens) if 0 <= end < self._vocab] if left else []
        if ends:
            self._held[request.id] = _Held(ends, left)

    @override
    def close(self, sequence: str) -> None:
        self._held.pop(sequence, None)

    @override
    def concerns(self, sequence: str) -> bool:
        return sequence in self._held

    @override
    def apply(self, logits: mx.array, rows: Sequence[SampledRow]) -> mx.array:
        held = {at: self._held[row.sequence] for at, row in enumerate(rows) if row.sequence in self._held}
        held = {at: one for at, one in held.items() if one.left > len(rows[at].guessed)}
        if not held:
            return logits
        if len(held) == len(rows):
            return _endless(logits, [one.ends for one in held.values()])
        places = mx.array(list(held))
        changed = mx.array(logits)
        changed[places] = _endless(logits[places], [one.ends for one in held.values()])
        return changed

    @override
    def add(self, new: NewTokens) -> None:
        for name, length in zip(new.sequences, new.lengths, strict=True):
            held = self._held.get(name)
            if held is not None:
                held.left -= length
                if held.left <= 0:
                    del self._held[name]


def _endless(logits: mx.array, ends: Sequence[list[int]]) -> mx.array:
    """Returns ``logits`` ``[R, vocab]`` without each row's ``ends``, but where there is nothing else."""
    most = max(map(len, ends))
    index = mx.array([[*row, *row[:1] * (most - len(row))] for row in ends])
    others = mx.put_along_axis(logits, index, mx.array(-mx.inf, dtype=logits.dtype), axis=1)
    return mx.where(mx.max(others, axis=-1, keepdims=True) == -mx.inf, logits, others)
