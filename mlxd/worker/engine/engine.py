"""The engine: what arrives goes to the runner, step by step, and what it reports becomes events, on the engine thread."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from mlxd.errors import MlxdError, NotFiniteError
from mlxd.types import CacheFigures, MemoryFigures, ResolvedLimits, Timings
from mlxd.wire.messages import ErrorInfo, Failed, StepStats
from mlxd.worker.engine.events import Ended, EngineEvent, StepOutput
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.runner import Runner, StepReport


@dataclass
class _Clock:
    """Where one request's time goes, in monotonic seconds."""

    request: EngineRequest
    began: float | None = None
    first_token: float | None = None
    last_token: float | None = None

    def token(self, now: float) -> float | None:
        """Tokens came; seconds since those before."""
        gap = None if self.last_token is None else now - self.last_token
        self.first_token = self.first_token if self.first_token is not None else now
        self.last_token = now
        return gap

    def timings(self, now: float) -> Timings:
        """So far."""
        began = self.began if self.began is not None else now
        first = self.first_token if self.first_token is not None else now
        return Timings(queue=began - self.request.arrived, prefill=first - began, decode=now - first)


class Engine:
    """``run`` blocks until the queue is closed. ``emit`` is called on the engine thread, at most once per step.

    Every request that was not aborted ends in exactly one ``Ended`` or ``Failed``.
    """

    def __init__(self, runner: Runner, queue: RequestQueue, emit: Callable[[StepOutput], None]) -> None:
        self.steps = 0
        self.memory = MemoryFigures()
        self.cache = CacheFigures()
        self._runner = runner
        self._queue = queue
        self._emit = emit
        self._clocks: dict[str, _Clock] = {}  # of requests the runner has
        self._step_began: float | None = None

    @property
    def busy_seconds(self) -> float:
        """How long the present step has been running; 0 when idle. May be read from any thread."""
        began = self._step_began
        return 0.0 if began is None else time.monotonic() - began

    @property
    def capacity(self) -> int:
        """Requests that can run at once."""
        return self._runner.capacity

    def reconfigure(self, limits: ResolvedLimits) -> None:
        """On the engine thread, between two steps."""
        self._runner.reconfigure(limits)

    def evict_cached(self) -> int:
        """On the engine thread, between two steps; see ``Runner``."""
        freed = self._runner.evict_cached()
        self._look_at_memory()
        return freed

    def run(self) -> None:
        """The thread's main loop. What still runs at its end is aborted: MLX wants to be let go by the thread that holds it."""
        self._look_at_memory()
        while self._queue.wait_for_work(block=self._runner.is_idle):
            self.step()
        for request_id in self._clocks:
            self._runner.abort(request_id)

    def step(self) -> None:
        """Take in what arrived, let the runner compute, tell what it did."""
        self._step_began = began = time.monotonic()
        for command in self._queue.commands():
            command()
        events = self._take_in()
        output = StepOutput(events)
        if not self._runner.is_idle:
            report = self._runner.step()
            stats = self._stats(report)
            self._begin(report, began)
            timings = self._timings(report)
            output = StepOutput(events + self._tell(report), stats, timings)
        self._look_at_memory()
        self._step_began = None
        if output.events or output.stats is not None:
            self._emit(output)

    def _take_in(self) -> list[EngineEvent]:
        """New requests, and those whose clients are gone."""
        for clock in [clock for clock in self._clocks.values() if clock.request.aborted]:
            self._runner.abort(clock.request.id)
            self._forget(clock, None)
        events: list[EngineEvent] = []
        for request in self._queue.arrivals():
            try:
                self._runner.add(request)
            except MlxdError as error:
                self._queue.finish(request.id, None)
                events.append(Failed(id=request.id, error=ErrorInfo.of(error)))
                continue
            self._clocks[request.id] = _Clock(request)
        return events

    def _begin(self, report: StepReport, began: float) -> None:
        """What the step that ``began`` then has started waits no more."""
        for started in report.started:
            self._clocks[started.id].began = began
            self._queue.started(started.id)

    def _tell(self, report: StepReport) -> list[EngineEvent]:
        """In the order in which it happens to a request. Places are free before anybody hears of an end: who does may send its
        next request at once.
        """
        now = time.monotonic()
        events: list[EngineEvent] = [*report.started, *report.sampled]
        for request_id, reason in report.ended.items():
            clock = self._clocks[request_id]
            events.append(Ended(request_id, reason))
            self._forget(clock, now - (clock.began or now))
        for request_id, error in report.failed.items():
            self._forget(self._clocks[request_id], None)
            events.append(Failed(id=request_id, error=ErrorInfo.of(error)))
        return events

    def _timings(self, report: StepReport) -> dict[str, Timings]:
        now = time.monotonic()
        return {request_id: self._clocks[request_id].timings(now) for request_id in (*(one.id for one in report.sampled), *report.ended)}

    def _stats(self, report: StepReport) -> StepStats | None:
        """Of a step that computed something. ``inter_token``: of the stream that waited longest."""
        now = time.monotonic()
        gaps = [gap for sampled in report.sampled if (gap := self._clocks[sampled.id].token(now)) is not None]
        if not report.tokens:
            return None
        self.steps += 1
        return StepStats(
            seconds=report.seconds,
            tokens=report.tokens,
            rows=report.rows,
            prompt_tokens=max(0, report.tokens - len(gaps)),  # to go on, a stream computes its last token; all else is of prompts
            generated_tokens=sum(len(one.tokens) for one in report.sampled),
            not_finite=sum(isinstance(error, NotFiniteError) for error in report.failed.values()),
            inter_token=max(gaps, default=None),
            preemptions=report.preemptions,
            evicted_blocks=report.evicted_blocks,
        )

    def _forget(self, clock: _Clock, seconds: float | None) -> None:
        del self._clocks[clock.request.id]
        self._queue.finish(clock.request.id, seconds)

    def _look_at_memory(self) -> None:
        self.memory = self._runner.memory()
        self.cache = self._runner.cache()
