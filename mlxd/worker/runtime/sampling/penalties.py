"""The logit biases and penalties of all sequences of a batch, by operations whose number does not depend on how many they are."""

from collections.abc import Sequence

import mlx.core as mx
from typing_extensions import override

from mlxd.types import SamplingParams
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledRow
from mlxd.worker.runtime.sampling.count_table import CountTable
from mlxd.worker.runtime.sampling.logits_processor import LogitsProcessor, NewTokens
from mlxd.worker.runtime.sampling.token_counts import NOTHING, Beginning


class Penalties(LogitsProcessor):
    """The biases and penalties of every sequence that asks for some. Counts of their tokens live on the device: one update a step, nothing
    read back.
    """

    def __init__(self, vocab: int) -> None:
        self._vocab = vocab
        self._asking: dict[str, EngineRequest] = {}
        self._rows: dict[str, int] = {}  # of those that were sampled: a sequence that waits costs nothing yet
        self._table = CountTable()

    @override
    def open(self, request: EngineRequest) -> None:
        if request.sampling.logit_bias or _counts(request.sampling):
            self._asking[request.id] = request

    @override
    def close(self, sequence: str) -> None:
        self._asking.pop(sequence, None)
        row = self._rows.pop(sequence, None)
        if row is not None:
            self._table.end(row)

    @override
    def concerns(self, sequence: str) -> bool:
        return sequence in self._asking

    @override
    def apply(self, logits: mx.array, rows: Sequence[SampledRow]) -> mx.array:
        places = [at for at, row in enumerate(rows) if row.sequence in self._asking]
        if not places:
            return logits
        asking = [rows[at] for at in places]
        counts, most = self._table.of([self._row(row.sequence) for row in asking]), max(len(row.guessed) for row in asking)
        if most:
            counts = counts.behind(mx.array([[*row.guessed, *[NOTHING] * (most - len(row.guessed))] for row in asking]))
        return counts.penalised(logits, places)

    @override
    def add(self, new: NewTokens) -> None:
        asking = [at for at, name in enumerate(new.sequences) if name in self._asking and _counts(self._asking[name].sampling)]
        if asking:
            tokens = new.tokens if len(asking) == len(new.sequences) else new.tokens[mx.array(asking)]
            rows = [self._row(new.sequences[at]) for at in asking]
            self._table.add(rows, [new.lengths[at] for at in asking], tokens.astype(mx.int32))

    def tensors(self) -> list[mx.array]:
        """Returns what changes as tokens come."""
        return self._table.tensors()

    def _row(self, sequence: str) -> int:
        """Returns the sequence's row of the table, from now on."""
        if sequence not in self._rows:
            request = self._asking[sequence]
            self._rows[sequence] = self._table.begin(Beginning.of(request.sampling, request.tokens, self._vocab))
        return self._rows[sequence]


def _counts(params: SamplingParams) -> bool:
    """Tells whether it matters which tokens come."""
    return (params.repetition_penalty, params.presence_penalty, params.frequency_penalty) != (1, 0, 0)
