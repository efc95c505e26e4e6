"""Masks of constraints, applied to logits."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.engine.constraint import TokenConstraint
from mlxd.worker.engine.mask_pool import MaskPool
from mlxd.worker.runtime.sampling.logits_processors import LogitsProcessor

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
    """A constraint where each token is read before the next one is sampled, as mlx-lm's own generation calls it."""

    def __init__(self, constraint: TokenConstraint, pool: MaskPool) -> None:
        self._mask = pool.begin(constraint)

    @override
    def apply(self, logits: mx.array) -> mx.array:
        return masked(logits, [self._mask.wait()])

    @override
    def add(self, token: mx.array) -> None:
        """Waits for the token's value. One that is marked as no number is not the constraint's business."""
        value: Any = token.item()
        if value >= 0:
            self._mask.accept([int(value)])
