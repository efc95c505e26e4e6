"""The next tokens of the sequences of a batch, with what sampling remembers of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import mlx.core as mx

from mlxd.types import SamplingParams
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.runtime.sampling.finite import is_finite, not_finite
from mlxd.worker.runtime.sampling.logits_processors import LogitsProcessor, make_processors
from mlxd.worker.runtime.sampling.sampler import draw_seed, row_key, sample


@dataclass
class _Row:
    """One sequence. ``position`` counts the tokens sampled so far."""

    params: SamplingParams
    seed: int
    processors: list[LogitsProcessor] = field(default_factory=list)
    position: int = 0


@dataclass(frozen=True)
class Draws:
    """One token of each of ``sequences``, ``tokens`` ``[S]``, and whether its logits could be sampled from, ``finite`` ``[S]``; neither
    need be evaluated yet. What went wrong with single sequences before is in ``failed``; their tokens mean nothing.
    """

    sequences: tuple[str, ...]
    tokens: mx.array
    finite: mx.array
    failed: Mapping[str, Exception] = field(default_factory=dict)

    def tensors(self) -> list[mx.array]:
        """Returns all that ``read`` and ``failures`` read, to be evaluated with the step."""
        return [self.tokens, self.finite]

    def read(self) -> dict[str, tuple[SampledToken, ...]]:
        """Returns the tokens by sequence; waits for the device."""
        values = cast("list[int]", self.tokens.tolist())
        return {sequence: (SampledToken(value),) for sequence, value in zip(self.sequences, values, strict=True)}

    def failures(self) -> dict[str, Exception]:
        """Returns the sequences whose tokens mean nothing, and why; waits for the device."""
        finite = cast("list[bool]", self.finite.tolist())
        garbage = {name: not_finite() for name, good in zip(self.sequences, finite, strict=True) if not good}
        return {**garbage, **self.failed}


class RowSampler:
    """Samples the sequences of a batch. ``vocab`` is how many ids the model has. Nothing is evaluated here."""

    def __init__(self, vocab: int) -> None:
        self._vocab = vocab
        self._rows: dict[str, _Row] = {}

    def open(self, request: EngineRequest) -> None:
        """Begins with a sequence that will be sampled."""
        params = request.sampling
        seed = draw_seed() if params.seed is None else params.seed
        self._rows[request.id] = _Row(params, seed, make_processors(params, request.tokens, self._vocab))

    def close(self, sequence: str) -> None:
        """Forgets a sequence that will not be sampled any more."""
        self._rows.pop(sequence, None)

    def sample(self, logits: mx.array, sequences: Sequence[str]) -> Draws:
        """Samples one token for each of ``sequences`` from ``logits`` ``[S, vocab]``."""
        if not sequences:
            return Draws((), mx.zeros((0,), mx.int32), mx.zeros((0,), mx.bool_))
        rows = [self._rows[sequence] for sequence in sequences]
        failed: dict[str, Exception] = {}
        finite = is_finite(logits)
        if any(row.processors for row in rows):
            logits = mx.concatenate([_process(name, self._rows[name], logits[at : at + 1], failed) for at, name in enumerate(sequences)])
            finite = finite & is_finite(logits)  # a processor may hide what is no number, and may overflow itself
        tokens = sample(logits, [row.params for row in rows], [row_key(row.seed, row.position) for row in rows])
        for at, (name, row) in enumerate(zip(sequences, rows, strict=True)):
            row.position += 1
            if name not in failed:
                _add(name, row, tokens[at : at + 1], failed)
        return Draws(tuple(sequences), tokens, finite, failed)


def _process(sequence: str, row: _Row, logits: mx.array, failed: dict[str, Exception]) -> mx.array:
    """Returns ``[1, vocab]``, unchanged where a processor raises: then the sequence has failed, and no other."""
    processed = logits
    try:
        for processor in row.processors:
            processed = processor.apply(processed)
    except Exception as error:  # noqa: BLE001 - whatever a processor raises
        failed[sequence] = error
        return logits
    return processed


def _add(sequence: str, row: _Row, token: mx.array, failed: dict[str, Exception]) -> None:
    try:
        for processor in row.processors:
            processor.add(token)
    except Exception as error:  # noqa: BLE001 - as above
        failed[sequence] = error
