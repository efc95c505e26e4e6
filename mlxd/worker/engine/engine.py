"""The engine of simple mode: one request after the other, step by step, on the engine thread."""

import logging
import time
from collections.abc import Callable
from contextlib import closing

from mlxd.errors import GenerationError, MlxdError
from mlxd.types import FinishReason, MemoryFigures, Timings
from mlxd.wire.messages import StepStats
from mlxd.worker.engine.events import EngineEvent, RequestEnded, RequestFailed, RequestStarted, StepOutput, TokenGenerated
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.runner import PrefixFound, PromptComputed, Runner, TokenSampled

_log = logging.getLogger(__name__)


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
            try:
                last = self._serve(request)
            except Exception as error:  # noqa: BLE001 - whatever MLX or a model raises ends this request, not the others
                last = self._failure(request, error)
            self._step_began = None
            self._look_at_memory()
            # Free first, then tell: a client that hears of the end may send its next request at once.
            finished = last is not None and not isinstance(last.events[-1], RequestFailed)
            self._queue.finish(request.id, time.monotonic() - began if finished else None)
            if last is not None:
                self._emit(last)

    def _serve(self, request: EngineRequest) -> StepOutput | None:
        """Run one request; its last step, which is not told yet. None if it was aborted."""
        clock = _RequestClock(request.arrived)
        generated = 0
        self._step_began = step_began = time.monotonic()
        with closing(self._runner.run(request)) as steps:
            for progress in steps:
                now = time.monotonic()
                seconds, step_began = now - step_began, now
                match progress:
                    case PrefixFound(cached_tokens=cached, outcome=outcome):
                        started = RequestStarted(request.id, len(request.tokens), cached, outcome)
                        self._emit(StepOutput([started]))
                    case PromptComputed(tokens=tokens):
                        self._emit(self._stepped([], StepStats(seconds=seconds, tokens=tokens, rows=1)))
                    case TokenSampled(token=token, is_end=is_end):
                        generated += 1
                        gap, timings = clock.token(now), clock.timings(now)
                        events: list[EngineEvent] = [TokenGenerated(request.id, token, is_end, timings)]
                        over = is_end or generated == request.max_tokens
                        if over:
                            events.append(RequestEnded(request.id, FinishReason.STOP if is_end else FinishReason.LENGTH, timings))
                        output = self._stepped(events, StepStats(seconds=seconds, tokens=1, rows=1, inter_token=gap))
                        if over:
                            return output
                        self._emit(output)
        if not request.aborted:
            raise GenerationError("the model stopped without an end")
        return None

    def _stepped(self, events: list[EngineEvent], stats: StepStats) -> StepOutput:
        self.steps += 1
        self._step_began = time.monotonic()
        self._look_at_memory()
        return StepOutput(events, stats)

    def _failure(self, request: EngineRequest, error: Exception) -> StepOutput | None:
        """What is told of a fault: nothing if nobody waits for the answer any more."""
        if not isinstance(error, MlxdError):
            _log.error("computing request %s failed", request.id, exc_info=error)
            error = GenerationError(f"computing this request failed: {type(error).__name__}: {error}")
        return None if request.aborted else StepOutput([RequestFailed(request.id, error)])

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
