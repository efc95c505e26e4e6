"""The continuous engine: requests join and leave a running batch, step by step, on the engine thread."""

import logging
import time
from collections.abc import Callable

from mlxd.errors import GenerationError, MlxdError
from mlxd.types import FinishReason, MemoryFigures, Timings
from mlxd.wire.messages import StepStats
from mlxd.worker.engine.batch_runner import BatchRunner, StepResult
from mlxd.worker.engine.events import EngineEvent, RequestEnded, RequestFailed, RequestStarted, StepOutput, TokenGenerated
from mlxd.worker.engine.plan import StepPlan
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.scheduler import Schedule, Scheduler
from mlxd.worker.engine.sequence import Sequence

_log = logging.getLogger(__name__)


class ContinuousEngine:
    """``run`` blocks until the queue is closed. ``emit`` is called on the engine thread, at most once per step.

    Every request that was not aborted ends in exactly one ``RequestEnded`` or ``RequestFailed``.
    """

    def __init__(self, runner: BatchRunner, scheduler: Scheduler, queue: RequestQueue, emit: Callable[[StepOutput], None]) -> None:
        self.steps = 0
        self.memory = MemoryFigures()
        self.cache_entries = 0
        self._runner = runner
        self._scheduler = scheduler
        self._queue = queue
        self._emit = emit
        self._sequences: dict[str, Sequence] = {}
        self._in_flight = False
        self._step_began: float | None = None
        self._last_collected: float | None = None  # monotonic; None after idling

    @property
    def busy_seconds(self) -> float:
        """How long the present step has been running; 0 when idle. May be read from any thread."""
        began = self._step_began
        return 0.0 if began is None else time.monotonic() - began

    def run(self) -> None:
        """The thread's main loop."""
        self.memory = self._runner.memory()
        while self._queue.wait_for_work(block=self._scheduler.is_idle and not self._in_flight):
            self.step()

    def step(self) -> None:
        """Take in what arrived, launch the next step, and deal with the result of the one before."""
        self._step_began = time.monotonic()
        events = self._take_in()
        schedule = self._scheduler.schedule()
        events += self._started(schedule)
        result, failures = self._compute(schedule.plan)
        stats = self._stats(result)
        events += failures
        events += self._update(result) if result is not None else []
        for sequence in schedule.out_of_room:
            events.append(self._end(sequence, FinishReason.LENGTH))
        self._step_began = None
        if events or stats is not None:
            self._emit(StepOutput(events, stats))

    def _take_in(self) -> list[EngineEvent]:
        """New requests, and those whose clients are gone."""
        for sequence in [sequence for sequence in self._sequences.values() if sequence.request.aborted]:
            self._forget(sequence, None)
        events: list[EngineEvent] = []
        for request in self._queue.arrivals():
            try:
                sequence = self._scheduler.add(request)
            except MlxdError as error:
                self._queue.finish(request.id, None)
                events.append(RequestFailed(request.id, error))
                continue
            self._sequences[request.id] = sequence
            self._runner.open(request)
        return events

    def _started(self, schedule: Schedule) -> list[EngineEvent]:
        now = time.monotonic()
        for sequence in schedule.admitted:
            sequence.began = now
            self._queue.started(sequence.id)
        return [
            RequestStarted(sequence.id, len(sequence.request.tokens), sequence.cached_tokens, sequence.cache)
            for sequence in schedule.admitted
        ]

    def _compute(self, plan: StepPlan) -> tuple[StepResult | None, list[EngineEvent]]:
        """A failing step ends the sequences it held, and those of the step behind it, with an error."""
        if not plan.chunks and not self._in_flight:
            return None, []
        try:
            result = self._runner.run(plan)
        except Exception as error:  # noqa: BLE001 - whatever MLX or a model raises ends these requests, not the worker
            self._in_flight = False
            _log.error("a step failed", exc_info=error)
            struck = [sequence for sequence in self._sequences.values() if sequence.in_flight or sequence in self._scheduler.running]
            return None, [self._fail(sequence, error) for sequence in struck]
        self._in_flight = bool(plan.chunks)
        return result, []

    def _update(self, result: StepResult) -> list[EngineEvent]:
        """What the step computed is known now: tokens, ends, and blocks that may be shared."""
        events: list[EngineEvent] = []
        now = time.monotonic()
        for chunk in result.plan.chunks:
            sequence = self._sequences.get(chunk.sequence)
            if sequence is None:  # finished or aborted while the step ran
                continue
            if (error := result.failed.get(chunk.sequence)) is not None:
                events.append(self._fail(sequence, error))
                continue
            self._scheduler.commit(sequence, chunk.start + chunk.count)
            if chunk.samples:
                events += self._token(sequence, result.sampled[chunk.sequence], now)
        return events

    def _token(self, sequence: Sequence, token: int, now: float) -> list[EngineEvent]:
        sequence.in_flight -= 1
        sequence.tokens.append(token)
        sequence.first_token = sequence.first_token if sequence.first_token is not None else now
        sequence.last_token = now
        is_end = token in self._runner.end_tokens
        known = len(sequence.tokens) - len(sequence.request.tokens)
        events: list[EngineEvent] = [TokenGenerated(sequence.id, token, is_end, _timings(sequence, now))]
        if is_end or known >= sequence.request.max_tokens:
            events.append(self._end(sequence, FinishReason.STOP if is_end else FinishReason.LENGTH))
        return events

    def _end(self, sequence: Sequence, reason: FinishReason) -> RequestEnded:
        now = time.monotonic()
        self._forget(sequence, now - (sequence.began or now))
        return RequestEnded(sequence.id, reason, _timings(sequence, now))

    def _fail(self, sequence: Sequence, error: Exception) -> RequestFailed:
        self._forget(sequence, None)
        known = (
            error if isinstance(error, MlxdError) else GenerationError(f"computing this request failed: {type(error).__name__}: {error}")
        )
        return RequestFailed(sequence.id, known)

    def _forget(self, sequence: Sequence, seconds: float | None) -> None:
        del self._sequences[sequence.id]
        self._scheduler.remove(sequence)
        self._runner.close(sequence.id)
        self._queue.finish(sequence.id, seconds)

    def _stats(self, result: StepResult | None) -> StepStats | None:
        """Of the step whose result came: from the result before it to this one, when steps follow each other."""
        if result is None:
            self._last_collected = None
            return None
        now = time.monotonic()
        seconds = now - (self._last_collected or self._step_began or now)
        self._last_collected = now
        self.steps += 1
        self.memory = self._runner.memory()
        self._scheduler.observe(result.plan, seconds)
        decoded = any(self._decoded_before(chunk.sequence) for chunk in result.plan.chunks if chunk.samples)
        return StepStats(seconds=seconds, tokens=result.plan.rows, rows=len(result.plan.chunks), inter_token=seconds if decoded else None)

    def _decoded_before(self, sequence_id: str) -> bool:
        sequence = self._sequences.get(sequence_id)
        return sequence is not None and sequence.first_token is not None


def _timings(sequence: Sequence, now: float) -> Timings:
    began = sequence.began if sequence.began is not None else now
    first = sequence.first_token if sequence.first_token is not None else now
    return Timings(queue=began - sequence.request.arrived, prefill=first - began, decode=now - first)
