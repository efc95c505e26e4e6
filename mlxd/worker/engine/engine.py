"""The engine of simple mode: one request after the other, step by step, on the engine thread."""

import time
from collections.abc import Callable

from mlxd.errors import GenerationError, MlxdError
from mlxd.types import FinishReason, MemoryFigures, Timings
from mlxd.wire.messages import StepStats
from mlxd.worker.engine.events import EngineEvent, RequestEnded, RequestFailed, RequestStarted, StepOutput, TokenGenerated
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.runner import PrefixFound, PromptComputed, Runner, TokenSampled


class Engine:
    """``run`` blocks until the queue is closed. ``emit`` is called on the engine thread, once per step.

    Every request that was not aborted ends in exactly one ``RequestEnded`` or ``RequestFailed``.
    """

    def __init__(self, runner: Runner, queue: RequestQueue, emit: Callable[[StepOutput], None]) -> None:
        self.steps = 0
        self.memory = MemoryFigures()
        self.cache_entries = 0
        self._runner = runner
        self._queue = queue
        self._emit = emit
        self._step_began: float | None = None

    @property
    def busy_seconds(self) -> float:
        """How long the present step has been running; 0 when idle. May be read from any thread."""
        began = self._step_began
        return 0.0 if began is None else time.monotonic() - began

    def run(self) -> None:
        """The thread's main loop."""
        self._look_at_memory()
        while (request := self._queue.take()) is not None:
            began = time.monotonic()
            finished = False
            try:
                finished = self._serve(request)
            except MlxdError as error:
                self._emit(StepOutput([RequestFailed(request.id, error)]))
            except Exception as error:  # noqa: BLE001 - whatever MLX or a model raises ends this request, not the others
                self._emit(StepOutput([RequestFailed(request.id, GenerationError(f"computing this request failed: {error}"))]))
            finally:
                self._step_began = None
                self._look_at_memory()
                self._queue.done(time.monotonic() - began if finished else None)

    def _serve(self, request: EngineRequest) -> bool:
        """Run one request; whether it ran to its end."""
        clock = _RequestClock(request.arrived)
        generated = 0
        self._step_began = step_began = time.monotonic()
        for progress in self._runner.run(request):
            now = time.monotonic()
            seconds, step_began = now - step_began, now
            match progress:
                case PrefixFound(cached_tokens=cached, outcome=outcome):
                    started = RequestStarted(request.id, len(request.tokens), cached, outcome)
                    self._emit(StepOutput([started]))
                case PromptComputed(tokens=tokens):
                    self._step([], StepStats(seconds=seconds, tokens=tokens, rows=1))
                case TokenSampled(token=token, is_end=is_end):
                    generated += 1
                    gap = clock.token(now)
                    events: list[EngineEvent] = [TokenGenerated(request.id, token, is_end, clock.timings(now))]
                    if is_end or generated == request.max_tokens:
                        events.append(RequestEnded(request.id, FinishReason.STOP if is_end else FinishReason.LENGTH, clock.timings(now)))
                    self._step(events, StepStats(seconds=seconds, tokens=1, rows=1, inter_token=gap))
                    if len(events) > 1:
                        return True
        if not request.aborted:
            raise GenerationError("the model stopped without an end")
        return False

    def _step(self, events: list[EngineEvent], stats: StepStats) -> None:
        self.steps += 1
        self._step_began = time.monotonic()
        self._emit(StepOutput(events, stats))

    def _look_at_memory(self) -> None:
        self.memory = self._runner.memory()
        self.cache_entries = self._runner.cache_entries


class _RequestClock:
    """Where a request's time goes."""

    def __init__(self, arrived: float) -> None:
        self._arrived = arrived
        self._started = time.monotonic()
        self._first: float | None = None
        self._last: float | None = None

    def token(self, now: float) -> float | None:
        """A token came; seconds since the one before."""
        gap = None if self._last is None else now - self._last
        self._first = self._first if self._first is not None else now
        self._last = now
        return gap

    def timings(self, now: float) -> Timings:
        """At the end."""
        first = self._first if self._first is not None else now
        return Timings(queue=self._started - self._arrived, prefill=first - self._started, decode=now - first)
