"""What sampling the sequences of one step gives, on the device until somebody reads it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import cast

import mlx.core as mx

from mlxd.worker.engine.sampled import SampledRow, SampledToken
from mlxd.worker.runtime.sampling.finite import not_finite
from mlxd.worker.runtime.sampling.scores import Scores


@dataclass(frozen=True)
class Undrawn:
    """Rows whose constraints must say first what may come: ``logits`` ``[R, vocab]``."""

    rows: tuple[SampledRow, ...]
    logits: mx.array

    def of(self, names: Collection[str]) -> "Undrawn | None":
        """Returns the rows of those of ``names`` that are here; None where none is."""
        places = [at for at, row in enumerate(self.rows) if row.sequence in names]
        if len(places) == len(self.rows):
            return self
        return Undrawn(tuple(self.rows[at] for at in places), self.logits[mx.array(places)]) if places else None


@dataclass(frozen=True)
class Draws:
    """One token for each of ``rows``, ``tokens`` ``[R]``, and whether its logits could be sampled from, ``finite`` ``[R]``; neither
    need be evaluated yet. Rows of one sequence are in the order of their guesses. What went wrong with single rows before is in
    ``failed``; their tokens mean nothing. ``undrawn`` are yet to be sampled; None where all are.
    """

    rows: tuple[SampledRow, ...]
    tokens: mx.array
    finite: mx.array
    failed: Mapping[SampledRow, Exception] = field(default_factory=dict)
    scores: tuple[Scores, ...] = ()
    undrawn: Undrawn | None = None

    @property
    def sequences(self) -> tuple[str, ...]:
        """Returns the sequence of each row."""
        return tuple(row.sequence for row in self.rows)

    def tensors(self) -> list[mx.array]:
        """Returns all that is to be evaluated with the step."""
        undrawn = [self.undrawn.logits] if self.undrawn is not None else []
        return [self.tokens, self.finite, *(tensor for one in self.scores for tensor in one.tensors()), *undrawn]

    def read(self) -> dict[str, tuple[SampledToken, ...]]:
        """Returns the tokens by sequence; waits for the device. A row counts where its guesses are what was sampled before it. So of
        guesses those that are right count, and the token that came in place of the first that is wrong, or behind the last.

        One that could not be sampled ends the guesses before it: it is computed once more, as the first row of a step.
        """
        taken: dict[str, tuple[SampledToken, ...]] = {}
        for row, token, finite in zip(self.rows, self._read_tokens(), self._read_finite(), strict=True):
            before = taken.setdefault(row.sequence, ())
            is_good = not row.guessed or (finite and row not in self.failed)
            if is_good and row.guessed == tuple(one.id for one in before):
                taken[row.sequence] = (*before, token)
        return taken

    def failures(self) -> dict[str, Exception]:
        """Returns the sequences whose tokens mean nothing, and why; waits for the device."""
        first = [(row, finite) for row, finite in zip(self.rows, self._read_finite(), strict=True) if not row.guessed]
        garbage = {row.sequence: not_finite() for row, finite in first if not finite}
        return {**garbage, **{row.sequence: error for row, error in self.failed.items() if not row.guessed}}

    def joined(self, others: "Draws") -> "Draws":
        """Returns both as one."""
        return Draws(
            self.rows + others.rows,
            mx.concatenate([self.tokens.astype(mx.int32), others.tokens.astype(mx.int32)]),
            mx.concatenate([self.finite, others.finite]),
            {**self.failed, **others.failed},
            self.scores + others.scores,
        )

    def _read_tokens(self) -> list[SampledToken]:
        scored = {(row.sequence, row.guessed): token for one in self.scores for row, token in zip(one.rows, one.read(), strict=True)}
        values = cast("list[int]", self.tokens.tolist())
        plain = zip(self.rows, values, strict=True)
        return [scored.get((row.sequence, row.guessed)) or SampledToken(value) for row, value in plain]

    def _read_finite(self) -> list[bool]:
        return cast("list[bool]", self.finite.tolist())


def no_draws() -> Draws:
    """Returns the draws of no row."""
    return Draws((), mx.zeros((0,), mx.int32), mx.zeros((0,), mx.bool_))
