"""Continuous batching over mlx-lm's ``BatchGenerator``: a cache of its own for each sequence, padded to the longest.

It is for models whose attention cannot read a paged cache, and for ``cache.kind = "entries"`` or ``"none"``. Everything of mlx-lm's
batching that may change between its releases is used here and nowhere else.
"""

import copy
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import mlx.core as mx
from mlx_lm.generate import BatchGenerator, GenerationBatch, PromptProcessingBatch, StopSequences
from typing_extensions import override

from mlxd.errors import UnsupportedParameterError
from mlxd.types import Ability, FinishReason, ResolvedLimits
from mlxd.wire.events import Started
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.runner import StepReport, as_failure
from mlxd.worker.engine.sampled import Sampled
from mlxd.worker.engine.step_cost import StepShape
from mlxd.worker.runtime.device import WIRED
from mlxd.worker.runtime.entries.entry_runner import EntryRunner
from mlxd.worker.runtime.entries.prompt_cache import PromptCache, always_rewinds
from mlxd.worker.runtime.entries.token_stream import TokenStream
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.sampling.sampler import RequestSampler, greedy, is_greedy

_log = logging.getLogger(__name__)

_LARGEST_CHUNK = {"cpu": 512, "gpu": 2048}  # prompt tokens per step with nobody to disturb
_ANY_NUMBER = 1_000_000  # of rows that decode


@dataclass(eq=False)
class _Row:
    """One request. It has a ``uid`` once mlx-lm has it; ``prefilled`` of its prompt's tokens are computed or were cached."""

    request: EngineRequest
    stream: TokenStream
    uid: int | None = None
    prefilled: int = 0
    generated: int = 0

    @property
    def decodes(self) -> bool:
        """Tells whether its prompt is computed."""
        return self.prefilled >= len(self.request.tokens)


class ContiguousRunner(EntryRunner[_Row]):
    """A batch with a cache of its own for each sequence. Prompts are computed one after the other, chunk by chunk, each chunk in one
    step with the next token of every sequence that decodes.
    """

    def __init__(self, loaded: LoadedModel, cache: PromptCache | None, limits: ResolvedLimits) -> None:
        super().__init__(loaded, cache, limits, largest_chunk=_LARGEST_CHUNK[loaded.device])
        self._planned_seconds = 0.0
        self._rows: dict[int, _Row] = {}  # by uid
        self._owed = StepReport()  # what the next step has to report beside its own
        self._generator = make_generator(loaded.model, loaded.end_tokens)

    @override
    def add(self, request: EngineRequest) -> None:
        """Raises ``UnsupportedParameterError`` where log-probabilities of the prompt are wanted: mlx-lm shows nobody its logits."""
        if request.prompt_logprobs:
            raise UnsupportedParameterError("this model's runner gives no log-probabilities of prompts", param="echo")
        self._waiting.add(_Row(request, TokenStream(request, self._loaded, self._masks)))

    @override
    def abort(self, request_id: str) -> None:
        """Caches what was computed: its client may try again."""
        try:
            self._forget(request_id)
        except Exception as error:  # noqa: BLE001 - nobody knows in what state mlx-lm's batch is now
            self._fail_all(error, self._owed)
            self._owed.failed.pop(request_id, None)
            self._forget(request_id)

    @property
    @override
    def abilities(self) -> frozenset[Ability]:
        return frozenset({Ability.CONSTRAINTS, Ability.LOGPROBS})

    @property
    @override
    def capacity(self) -> int:
        return self._limits.max_sequences

    @property
    @override
    def planned_seconds(self) -> float:
        return self._planned_seconds

    @property
    @override
    def is_idle(self) -> bool:
        return not self._rows and not self._waiting and not self._owed.failed

    @override
    def step(self) -> StepReport:
        """Computes one token of every sequence that decodes, and a chunk of one prompt."""
        report, self._owed = self._owed, StepReport()
        try:
            self._compute(report)
        except Exception as error:  # noqa: BLE001 - whatever MLX or a model raises ends these requests, not the worker
            self._fail_all(error, report)
        return report

    def _compute(self, report: StepReport) -> None:
        began = monotonic()
        self._admit(report)
        decode_rows = sum(row.decodes for row in self._rows.values())
        chunk = self._chunk(decode_rows)
        self._plan(decode_rows, chunk)
        prompts, tokens = self._next(chunk)
        computed = [count for response in prompts if (count := self._take_progress(response))]
        for response in tokens:
            self._take_token(response, report)
        report.seconds = monotonic() - began
        report.tokens, report.rows = sum(computed) + len(tokens), len(computed) + len(tokens)
        if report.tokens:
            self._budget.observe(report.seconds, StepShape(decode_rows=decode_rows, prompts=len(computed), prefill_tokens=sum(computed)))

    @property
    @override
    def _running_bytes(self) -> int:
        return self._generator.prompt_cache_nbytes if self._rows else 0

    def _next(self, chunk: int) -> tuple[list[PromptProcessingBatch.Response], list[GenerationBatch.Response]]:
        """Computes a step with ``chunk`` tokens of a prompt. mlx-lm takes one at least, unless it has as many to decode as it may have."""
        generator = self._generator
        generator.completion_batch_size = _ANY_NUMBER if chunk else 0
        if chunk:
            generator.prefill_step_size = generator._prompt_batch.prefill_step_size = chunk  # noqa: SLF001 - no setter
        prompts, tokens = generator.next()
        return prompts, tokens

    # ---- before the step ----

    def _chunk(self, decode_rows: int) -> int:
        """Returns the prompt tokens for this step; 0 for one that shows what those that decode take alone."""
        if not decode_rows:
            return self._budget.undisturbed(self._limits)
        return self._budget.beside(self._limits, decode_rows=decode_rows)

    def _plan(self, decode_rows: int, chunk: int) -> None:
        """Works out how long the step is expected to take."""
        tokens = max((min(chunk, len(row.request.tokens) - row.prefilled) for row in self._rows.values() if not row.decodes), default=0)
        self._planned_seconds = self._budget.seconds(StepShape(decode_rows=decode_rows, prompts=int(tokens > 0), prefill_tokens=tokens))

    def _admit(self, report: StepReport) -> None:
        """Admits one prompt at a time, so that who comes next is decided as late as can be."""
        if len(self._rows) >= self._limits.max_sequences or any(not row.decodes for row in self._rows.values()):
            return
        if (row := self._take_first()) is not None:
            self._insert(row, report)
            self._joining = None

    def _insert(self, row: _Row, report: StepReport) -> None:
        request = row.request
        found = self._find(request.prompt)
        cached = found.tokens if found else 0
        (row.uid,) = self._generator.insert(
            [request.tokens[cached:]],
            max_tokens=[max(1, request.max_tokens)],  # mlx-lm takes no fewer; one too many is nobody's
            caches=[found.layers] if found else None,
            all_tokens=[request.tokens[:cached]],
            samplers=[None if is_greedy(request.sampling) else RequestSampler(request.sampling)],
            logits_processors=[row.stream.processors],
            stop_sequences=[StopSequences([[token] for token in row.stream.ends] or None)],
        )
        row.prefilled = cached
        self._rows[row.uid] = row
        cache = self._outcome(request.tokens, found)
        report.started.append(Started(id=request.id, prompt_tokens=len(request.tokens), cached_tokens=cached, cache=cache))

    # ---- after the step ----

    def _take_progress(self, response: PromptProcessingBatch.Response) -> int:
        """Returns how many prompt tokens were computed for one row."""
        row = self._rows[response.uid]
        done, total = response.progress
        prefilled: int = len(row.request.tokens) - total + done
        computed, row.prefilled = prefilled - row.prefilled, prefilled
        if response.end_of_segment and not response.end_of_prompt and self._cache is not None:
            self._keep_prompt(row)
        return computed

    def _keep_prompt(self, row: _Row) -> None:
        """Keeps a prompt of which all but the last token are computed. Where the answer cannot be cut off again, it gets an entry of its
        own.
        """
        layers, tokens = self._generator.extract_cache([row.uid])[row.uid]
        if not always_rewinds(layers) and self._cache is not None:
            self._cache.store(tokens, row.request.prompt.root, copy.deepcopy(layers))

    def _take_token(self, response: GenerationBatch.Response, report: StepReport) -> None:
        row = self._rows[response.uid]
        request_id = row.request.id
        try:
            token = row.stream.take(response.token)
        except Exception as error:  # noqa: BLE001 - whatever a processor has raised, or ``NotFiniteError``
            report.failed[request_id] = as_failure(error)
            if response.finish_reason is None:
                self._remove(row, keep=False)
            else:
                del self._rows[response.uid]
            return
        is_end = token.id in row.stream.ends and row.request.max_tokens > 0
        if row.request.max_tokens:
            report.sampled.append(Sampled(request_id, (token,), is_end))
        if response.finish_reason is not None:
            report.ended[request_id] = FinishReason.STOP if is_end else FinishReason.LENGTH
            del self._rows[response.uid]
            self._store(row, response.all_tokens, response.prompt_cache)

    def _forget(self, request_id: str) -> None:
        for row in [row for row in self._rows.values() if row.request.id == request_id]:
            self._remove(row, keep=True)
        for row in [row for row in self._waiting if row.request.id == request_id]:
            self._waiting.remove(row)

    def _remove(self, row: _Row, *, keep: bool) -> None:
        del self._rows[row.uid]  # type: ignore[arg-type]  # rows in here have one
        kept = self._generator.remove([row.uid], return_prompt_caches=keep)
        for layers, tokens in kept.values():
            self._store(row, tokens, layers)

    def _store(self, row: _Row, tokens: Sequence[int] | None, layers: list[Any] | None) -> None:
        if self._cache is None or not tokens or not layers or any(layer.empty() for layer in layers):
            return
        try:
            self._cache.store(tokens, row.request.prompt.root, layers)
        except Exception:  # noqa: BLE001 - the answer is complete: only its reuse is lost
            _log.exception("what a request computed could not be kept")

    def _fail_all(self, error: Exception, report: StepReport) -> None:
        self._strike(self._rows.values(), error, report)
        self._rows = {}
        self._generator = make_generator(self._loaded.model, self._loaded.end_tokens)


def make_generator(model: Any, stop_tokens: Iterable[int]) -> BatchGenerator:
    """Returns a generator that admits whatever it is given, and computes prompts one after the other."""
    generator = BatchGenerator(
        model,
        stop_tokens=[[token] for token in stop_tokens],
        completion_batch_size=_ANY_NUMBER,
        prefill_batch_size=1,
        sampler=greedy,
        stream=mx.default_stream(mx.default_device()),
    )
    WIRED.restore()  # what mlx-lm has just set
    return generator
