"""Masks of constraints, applied to logits."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.engine.mask_pool import MaskPool, NextMask
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledRow
from mlxd.worker.runtime.sampling.logits_processor import LogitsProcessor, NewTokens

_BITS = 32  # of a word


def masked(logits: mx.array, masks: Sequence[bytes | None]) -> mx.array:
    """Returns ``logits`` ``[B, vocab]`` with minus infinity for every token that its row's mask does not allow. Masks are as of
    ``TokenConstraint.allowed``; what they say nothing of is not allowed.
    """
    vocab = logits.shape[-1]
    words = -(-vocab // _BITS)
    everything = b"\xff" * (4 * words)
    rows = b"".join(everything if mask is None else mask[: 4 * words].ljust(4 * words, b"\0") for mask in masks)
    packed = mx.array(memoryview(rows).cast("I")).reshape(len(masks), words, 1)  # type: ignore[arg-type]  # any buffer is taken
    bits = (packed >> mx.arange(_BITS, dtype=mx.uint32)) & 1
    return mx.where(bits.reshape(len(masks), -1)[:, :vocab].astype(mx.bool_), logits, -mx.inf)


class Constrained(LogitsProcessor):
    """The constraint of one sequence where each token is read before the next one is sampled, as mlx-lm's own generation calls it."""

    def __init__(self, pool: MaskPool) -> None:
        self._pool = pool
        self._masks: dict[str, NextMask] = {}

    @override
    def open(self, request: EngineRequest) -> None:
        if request.constraint is not None:
            self._masks[request.id] = self._pool.begin(request.constraint)

    @override
    def close(self, sequence: str) -> None:
        self._masks.pop(sequence, None)

    @override
    def concerns(self, sequence: str) -> bool:
        return sequence in self._masks

    @override
    def apply(self, logits: mx.array, rows: Sequence[SampledRow]) -> mx.array:
        masks = [self._masks.get(row.sequence) for row in rows]
        return masked(logits, [None if mask is None else mask.wait() for mask in masks])

    @override
    def add(self, new: NewTokens) -> None:
        """Waits for the tokens' values. One that is marked as no number is not the constraint's business."""
        values: Any = new.tokens.tolist()
        for name, row in zip(new.sequences, values, strict=True):
            tokens = [value for value in row if value >= 0]
            if tokens and name in self._masks:
                self._masks[name].accept(tokens)
