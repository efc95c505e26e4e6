"""The engine: what arrives goes to the runner, step by step, and what it reports becomes events, on the engine thread."""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from mlxd.cache_terms import PinFigures
from mlxd.errors import MlxdError, NotFiniteError
from mlxd.types import CacheFigures, MemoryFigures, ResolvedLimits, Timings
from mlxd.wire.error_info import ErrorInfo
from mlxd.wire.events import Failed
from mlxd.wire.messages import StepStats
from mlxd.worker.engine.admission import Admission
from mlxd.worker.engine.device_memory import DeviceMemory
from mlxd.worker.engine.events import Ended, EngineEvent, StepOutput
from mlxd.worker.engine.idling import Idling
from mlxd.worker.engine.pin_order import PinOrder
from mlxd.worker.engine.queued import QueuedRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.runner import Runner, StepReport, as_failure

# Seconds between giving back what the allocator keeps. It takes milliseconds, in which nothing is computed.
_TIDY_IDLE, _TIDY_BUSY = 20.0, 30.0
_IDLE = 20.0  # seconds without anything to compute, after which memory that lies idle is given back

R = TypeVar("R", bound=QueuedRequest)

_log = logging.getLogger(__name__)


@dataclass
class _Clock(Generic[R]):
    """Where one request's time goes, in monotonic seconds."""

    request: R
    began: float | None = None
    first_token: float | None = None
    last_token: float | None = None

    def token(self, now: float) -> float | None:
        """Notes that tokens came, and returns the seconds since those before; None for the first."""
        gap = None if self.last_token is None else now - self.last_token
        self.first_token = self.first_token if self.first_token is not None else now
        self.last_token = now
        return gap

    def timings(self, now: float) -> Timings:
        """Returns where the request's time went so far."""
        began = self.began if self.began is not None else now
        first = self.first_token if self.first_token is not None else now
        return Timings(queue=began - self.request.arrived, prefill=first - began, decode=now - first)


class Engine(Generic[R]):
    """Lets a runner compute what the queue holds. ``run`` blocks until the queue is closed. ``emit`` is called on the engine thread, at
    most once per step. An engine is made on the thread that runs it.

    Every request that was not aborted ends in exactly one ``Ended`` or ``Failed``.
    """

    def __init__(
        self, runner: Runner[R], queue: RequestQueue[R], emit: Callable[[StepOutput], None], device: DeviceMemory | None = None
    ) -> None:
        self.steps = 0
        self._runner = runner
        self._queue = queue
        self._emit = emit
        self._device = device
        self._admission = Admission[R]()
        self._clocks: dict[str, _Clock[R]] = {}  # of requests the runner has
        self._arrived: deque[R] = deque()  # taken from the queue, and the runner may not have them yet
        self._step_began: float | None = None
        self._idling = Idling(_IDLE, time.monotonic())
        self._unpinned: tuple[PinFigures, ...] = ()
        self.memory: MemoryFigures
        self.cache: CacheFigures
        self._look_at_memory()

    @property
    def busy_seconds(self) -> float:
        """Returns how long the present step has been running; 0 when idle. It may be read from any thread."""
        began = self._step_began
        return 0.0 if began is None else time.monotonic() - began

    @property
    def planned_seconds(self) -> float:
        """Returns how long the present step is expected to take, of which ``busy_seconds`` have passed. It may be read from any thread."""
        return self._runner.planned_seconds

    @property
    def capacity(self) -> int:
        """Returns how many requests can run at once."""
        return self._runner.capacity

    def reconfigure(self, limits: ResolvedLimits) -> None:
        """Passes new limits on; called on the engine thread, between two steps."""
        self._runner.reconfigure(limits)
        self._admission.hold_to(limits.restraint)
        if self._device is not None:
            self._device.hold_to(limits)
        self._look_at_memory()

    def pin(self, orders: Sequence[PinOrder]) -> None:
        """Passes on what is to stay in the cache; called on the engine thread, between two steps."""
        self._unpinned = self._runner.pin(orders)
        self._look_at_memory()

    def evict_cached(self) -> int:
        """Returns how many blocks, or entries, were dropped. It is called on the engine thread, between two steps."""
        freed = self._runner.evict_cached()
        self._look_at_memory()
        return freed

    def run(self) -> None:
        """Runs the thread's main loop. What still runs at its end is aborted: MLX wants to be let go by the thread that holds it."""
        while self._queue.wait_for_work(self._rest()):
            self.step()
        for request_id in self._clocks:
            self._runner.abort(request_id)
        self._runner.close()

    def _rest(self) -> float | None:
        """Returns how many seconds nothing has to be done unless something arrives; None for ever."""
        now = time.monotonic()
        rests = (self._runner.rest, self._admission.due_in(now), self._idling.due_in(now))
        return min((rest for rest in rests if rest is not None), default=None)

    def step(self) -> None:
        """Takes in what arrived, lets the runner compute, and tells what it did."""
        self._step_began = began = time.monotonic()
        for command in self._queue.commands():
            command()
        output = StepOutput([])
        try:
            self._compute(began, output)
        except Exception as error:  # noqa: BLE001 - whatever is wrong here, each request gets its answer
            _log.exception("a step was lost")
            self._end_all(error, output.events)
        if self._device is not None:
            self._device.tidy(_TIDY_IDLE if self._runner.is_idle else _TIDY_BUSY)
        self._step_began = None
        if output.events or output.stats is not None:
            self._emit(output)

    def _compute(self, began: float, output: StepOutput) -> None:
        """Computes one step. An event is in ``output`` before what it is about is forgotten."""
        self._let_go()
        self._take_in(output.events)
        if not self._runner.is_idle:
            self._idling.begin_anew(began)
        elif self._idling.is_over(began):
            self._give_back()
        if self._runner.rest is not None:
            report = self._runner.step()
            output.stats = self._stats(report)
            self._begin(report, began)
            output.timings.update(self._timings(report))
            self._tell(report, output.events)
        self._look_at_memory()

    def _give_back(self) -> None:
        """Gives back memory that lies idle, and what was kept to be used again."""
        self._runner.give_back()
        if self._device is not None:
            self._device.release()

    def _end_all(self, error: Exception, events: list[EngineEvent]) -> None:
        """Ends every request that is known here, and the runner forgets it; but for those that have their answer in ``events``."""
        answered = {event.id for event in events if isinstance(event, Ended | Failed)}
        for request_id in dict.fromkeys([*self._clocks, *(request.id for request in self._arrived)]):
            self._runner.abort(request_id)
            self._queue.finish(request_id, None)
            if request_id not in answered:
                events.append(Failed(id=request_id, error=ErrorInfo.of(as_failure(error))))
        self._clocks.clear()
        self._arrived.clear()

    def _let_go(self) -> None:
        """Makes the runner forget those whose clients are gone."""
        self._admission.forget_aborted()
        for clock in [clock for clock in self._clocks.values() if clock.request.aborted]:
            self._runner.abort(clock.request.id)
            self._forget(clock, None)

    def _take_in(self, events: list[EngineEvent]) -> None:
        """Gives the runner new requests, and ``events`` those that it refuses."""
        now = time.monotonic()
        self._arrived.extend([*self._admission.released(), *self._queue.arrivals()])
        for request_id, refusal in self._admission.expired(now).items():
            self._queue.finish(request_id, None)
            events.append(Failed(id=request_id, error=ErrorInfo.of(refusal)))
        while self._arrived:
            request = self._arrived[0]
            try:
                if self._admission.admits(request, self._runner.uncached, now):
                    self._runner.add(request)
                    self._clocks[request.id] = _Clock(request)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it concerns nobody else
                if not isinstance(error, MlxdError):
                    _log.exception("request %s could not be taken in", request.id)
                self._runner.abort(request.id)
                self._queue.finish(request.id, None)
                events.append(Failed(id=request.id, error=ErrorInfo.of(as_failure(error))))
            self._arrived.popleft()

    def _begin(self, report: StepReport, began: float) -> None:
        """Notes that what the step that ``began`` then has started waits no more."""
        for started in report.started:
            self._clocks[started.id].began = began
            self._queue.started(started.id)

    def _tell(self, report: StepReport, events: list[EngineEvent]) -> None:
        """Tells in the order in which it happens to a request. Places are free before anybody hears of an end: who does may send its next
        request at once.
        """
        now = time.monotonic()
        events += [*report.started, *report.scored, *report.sampled, *report.encoded]
        for request_id, reason in report.ended.items():
            clock = self._clocks[request_id]
            events.append(Ended(request_id, reason))
            self._forget(clock, now - (clock.began or now))
        for request_id, error in report.failed.items():
            events.append(Failed(id=request_id, error=ErrorInfo.of(error)))
            self._forget(self._clocks[request_id], None)

    def _timings(self, report: StepReport) -> dict[str, Timings]:
        now = time.monotonic()
        return {request_id: self._clocks[request_id].timings(now) for request_id in (*(one.id for one in report.sampled), *report.ended)}

    def _stats(self, report: StepReport) -> StepStats | None:
        """Returns the figures of a step that computed something, else None. ``inter_token`` is of the stream that waited longest."""
        now = time.monotonic()
        gaps = [gap for sampled in report.sampled if (gap := self._clocks[sampled.id].token(now)) is not None]
        if not report.tokens and not report.sampled:
            return None
        self.steps += 1
        return StepStats(
            seconds=report.seconds,
            tokens=report.tokens,
            rows=report.rows,
            texts=sum(len(one.places) for one in report.encoded),
            # To go on, a stream computes its last token, and guesses; all else is of prompts.
            prompt_tokens=max(0, report.tokens - report.drafts - len(gaps)),
            generated_tokens=sum(len(one.tokens) for one in report.sampled),
            drafted_tokens=report.drafts,
            accepted_tokens=sum(one.accepted for one in report.sampled),
            not_finite=sum(isinstance(error, NotFiniteError) for error in report.failed.values()),
            inter_token=max(gaps, default=None),
            preemptions=report.preemptions,
            evicted_blocks=report.evicted_blocks,
        )

    def _forget(self, clock: _Clock[R], seconds: float | None) -> None:
        self._queue.finish(clock.request.id, seconds)
        del self._clocks[clock.request.id]

    def _look_at_memory(self) -> None:
        self.memory = self._runner.memory()
        cache = self._runner.cache()
        self.cache = msgspec.structs.replace(cache, pins=self._unpinned) if self._unpinned else cache
