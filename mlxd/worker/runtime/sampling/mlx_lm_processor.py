"""What changes the logits of one sequence, as mlx-lm's own batches and streams call it."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from mlxd.worker.engine.sampled import SampledRow, SampledToken
from mlxd.worker.runtime.sampling.logits_processor import LogitsProcessor, NewTokens
from mlxd.worker.runtime.sampling.scores import ScoredRow, score


class MlxLmProcessor:
    """The processors of one sequence as mlx-lm calls them: once per position, with all tokens so far. A fault is kept in
    ``error``, for in mlx-lm's batch it would end every row; from then on logits pass unchanged. ``good`` tokens come before it.
    """

    def __init__(self, sequence: str, processors: Sequence[LogitsProcessor]) -> None:
        self.error: Exception | None = None
        self.good = 0
        self._sequence = sequence
        self._processors = processors

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """Takes ``tokens`` that end with the one generated last; the first call comes before anything was generated."""
        if self.error is not None:
            return logits
        try:
            processed = self._apply(tokens, logits)
        except Exception as error:  # noqa: BLE001 - whatever a processor raises is its sequence's business
            self.error = error
            return logits
        self.good += 1
        return processed

    def _apply(self, tokens: Any, logits: mx.array) -> mx.array:
        for processor in self._processors:
            if self.good:
                processor.add(NewTokens((self._sequence,), (1,), tokens[-1:][None]))
            logits = processor.apply(logits, [SampledRow(self._sequence)])
        return logits


class RawLogits:
    """The logits of one sequence as the model computed them, in mlx-lm's batch: kept until the token sampled from them is read."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._rows: deque[mx.array] = deque()

    def __call__(self, _tokens: mx.array, logits: mx.array) -> mx.array:
        self._rows.append(logits)
        return logits

    def score(self, token: int) -> SampledToken:
        """Returns the token, which is the next one of the sequence, with its log-probability; waits for the device."""
        rows = [ScoredRow("", self._top)]
        (scored,) = score(self._rows.popleft(), mx.array([token]), rows).read()
        return scored
