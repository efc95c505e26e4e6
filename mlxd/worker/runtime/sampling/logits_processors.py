"""What changes a sequence's logits before they are sampled, one row at a time."""

from collections import deque
from collections.abc import Collection, Sequence
from typing import Any, Protocol

import mlx.core as mx
from typing_extensions import override

from mlxd.types import SamplingParams
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.runtime.sampling.scores import ScoredRow, score


class LogitsProcessor(Protocol):
    """What changes the logits of one sequence. What it raises ends that sequence, and no other."""

    def apply(self, logits: mx.array) -> mx.array:
        """Turns ``logits`` ``[1, vocab]`` into others of the same shape."""

    def add(self, token: mx.array) -> None:
        """Takes note of one generated token, ``[1]``, possibly not evaluated yet."""


def make_processors(request: EngineRequest, vocab: int, end_tokens: Collection[int]) -> list[LogitsProcessor]:
    """Returns the processors a request asks for, in the order in which they apply; its constraint, if it has one, comes before them.
    ``end_tokens`` are the model's.
    """
    params, stopping = request.sampling, request.stopping
    penalised = (params.repetition_penalty, params.presence_penalty, params.frequency_penalty) != (1, 0, 0)
    processors: list[LogitsProcessor] = [Penalties(params, request.tokens, vocab)] if params.logit_bias or penalised else []
    ends = request.ends(end_tokens) if stopping.min_tokens else ()
    return [*processors, NoEnd(ends, stopping.min_tokens, vocab)] if ends else processors


class MlxLmProcessor:
    """The processors of one sequence as mlx-lm calls them: once per position, with all tokens so far. A fault is kept in
    ``error``, for in mlx-lm's batch it would end every row; from then on logits pass unchanged. ``good`` tokens come before it.
    """

    def __init__(self, processors: Sequence[LogitsProcessor]) -> None:
        self.error: Exception | None = None
        self.good = 0
        self._processors = processors
        self._began = False

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
            if self._began:
                processor.add(tokens[-1:])
            logits = processor.apply(logits)
        self._began = True
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


class Penalties(LogitsProcessor):
    """The logit bias and penalties of one sequence. Counts live on the device: one update per token, nothing read back. Only what ``apply``
    reads is counted, so that each step evaluates it: what nobody reads would grow into a graph of all tokens.

    Repetition counts prompt and output (Keskar et al. 2019, CTRL); presence and frequency the output only, as OpenAI defines them.
    """

    def __init__(self, params: SamplingParams, prompt: Sequence[int], vocab: int) -> None:
        self._params = params
        self._repetition = params.repetition_penalty
        self._counts_output = bool(params.presence_penalty or params.frequency_penalty)
        self._bias = _bias(params.logit_bias, vocab)
        self._output = mx.zeros((vocab,), dtype=mx.int32)
        self._seen = mx.zeros((vocab,), dtype=mx.bool_)
        if self._repetition != 1:
            self._seen[mx.array(list(prompt))] = True

    @override
    def add(self, token: mx.array) -> None:
        if self._counts_output:
            self._output = self._output.at[token].add(1)
        if self._repetition != 1:
            self._seen[token] = True

    @override
    def apply(self, logits: mx.array) -> mx.array:
        params = self._params
        if self._bias is not None:
            logits = logits + self._bias
        if self._repetition != 1:
            penalised = mx.where(logits > 0, logits / self._repetition, logits * self._repetition)
            logits = mx.where(self._seen, penalised, logits)
        if self._counts_output:
            logits = logits - params.frequency_penalty * self._output - params.presence_penalty * (self._output > 0)
        return logits


class NoEnd(LogitsProcessor):
    """No token that ends the answer comes among its first ``min_tokens``, but where nothing else may: what a constraint asks goes first."""

    def __init__(self, ends: Collection[int], min_tokens: int, vocab: int) -> None:
        self._ends = mx.zeros((vocab,), dtype=mx.bool_)
        self._ends[mx.array(list(ends))] = True
        self._left = min_tokens

    @override
    def add(self, token: mx.array) -> None:
        self._left -= 1

    @override
    def apply(self, logits: mx.array) -> mx.array:
        if self._left <= 0:
            return logits
        others = mx.where(self._ends, -mx.inf, logits)
        return mx.where(mx.max(others, axis=-1, keepdims=True) == -mx.inf, logits, others)


def _bias(biases: dict[int, float], vocab: int) -> mx.array | None:
    if not biases:
        return None
    bias = mx.zeros((vocab,))
    bias[mx.array(list(biases))] = mx.array(list(biases.values()))
    return bias
