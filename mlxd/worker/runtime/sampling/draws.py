"""What sampling the sequences of one step gives, on the device until somebody reads it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import cast

import mlx.core as mx

from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.runtime.sampling.finite import not_finite
from mlxd.worker.runtime.sampling.scores import Scores


@dataclass(frozen=True)
class Undrawn:
    """Sequences whose constraints must say first what may come: ``logits`` ``[S, vocab]``."""

    sequences: tuple[str, ...]
    logits: mx.array

    def of(self, names: Collection[str]) -> "Undrawn | None":
        """Returns the rows of those of ``names`` that are here; None where none is."""
        places = [at for at, name in enumerate(self.sequences) if name in names]
        if len(places) == len(self.sequences):
            return self
        return Undrawn(tuple(self.sequences[at] for at in places), self.logits[mx.array(places)]) if places else None


@dataclass(frozen=True)
class Draws:
    """One token of each of ``sequences``, ``tokens`` ``[S]``, and whether its logits could be sampled from, ``finite`` ``[S]``; neither
    need be evaluated yet. What went wrong with single sequences before is in ``failed``; their tokens mean nothing. ``undrawn`` are yet
    to be sampled; None where all are.
    """

    sequences: tuple[str, ...]
    tokens: mx.array
    finite: mx.array
    failed: Mapping[str, Exception] = field(default_factory=dict)
    scores: tuple[Scores, ...] = ()
    undrawn: Undrawn | None = None

    def tensors(self) -> list[mx.array]:
        """Returns all that is to be evaluated with the step."""
        undrawn = [self.undrawn.logits] if self.undrawn is not None else []
        return [self.tokens, self.finite, *(tensor for one in self.scores for tensor in one.tensors()), *undrawn]

    def read(self) -> dict[str, tuple[SampledToken, ...]]:
        """Returns the tokens by sequence; waits for the device."""
        values = cast("list[int]", self.tokens.tolist())
        read: dict[str, tuple[SampledToken, ...]] = {
            sequence: (SampledToken(value),) for sequence, value in zip(self.sequences, values, strict=True)
        }
        for scores in self.scores:
            read |= {row.sequence: (token,) for row, token in zip(scores.rows, scores.read(), strict=True)}
        return read

    def failures(self) -> dict[str, Exception]:
        """Returns the sequences whose tokens mean nothing, and why; waits for the device."""
        finite = cast("list[bool]", self.finite.tolist())
        garbage = {name: not_finite() for name, good in zip(self.sequences, finite, strict=True) if not good}
        return {**garbage, **self.failed}

    def joined(self, others: "Draws") -> "Draws":
        """Returns both as one."""
        return Draws(
            self.sequences + others.sequences,
            mx.concatenate([self.tokens.astype(mx.int32), others.tokens.astype(mx.int32)]),
            mx.concatenate([self.finite, others.finite]),
            {**self.failed, **others.failed},
            self.scores + others.scores,
        )


def no_draws() -> Draws:
    """Returns the draws of no sequence."""
    return Draws((), mx.zeros((0,), mx.int32), mx.zeros((0,), mx.bool_))
