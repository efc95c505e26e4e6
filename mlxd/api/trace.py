"""``RequestTrace``: everything worth knowing of one request, told once when it is over."""

import asyncio
import time
from collections.abc import Callable
from itertools import accumulate, pairwise
from types import TracebackType
from typing import Any, Literal, Self

import structlog

from mlxd.api.jobs import Jobs
from mlxd.api.tally import Tally
from mlxd.control.live_requests import LiveRequest, Stage
from mlxd.control.telemetry import UNKNOWN_MODEL, Caller, Outcome, Phase, RequestRecord, Telemetry, Tracer
from mlxd.errors import MlxdError, RequestError, SlowClientError
from mlxd.types import CacheOutcome, Usage
from mlxd.wire.events import Delta, Finished, RequestEvent, Started

log = structlog.get_logger(__name__)

_PHASES: tuple[Literal["queue", "prefill", "decode"], ...] = ("queue", "prefill", "decode")


class RequestTrace:
    """A trace is a context manager around the handler: leaving it records the request, however it ended.

    ``telemetry`` and ``tracer`` get one ``RequestRecord``; the log gets one ``request_finished``.
    """

    def __init__(self, telemetry: Telemetry, tracer: Tracer, request_id: str, endpoint: str, caller: Caller) -> None:
        self.request_id = request_id
        self.endpoint = endpoint
        self.model = UNKNOWN_MODEL
        self.adapter = ""  # the name of the one that is asked for
        self.requested_model: str | None = None
        self.streamed = False
        self.prompt: Any = None  # set only where log.content allows it to be logged
        self._telemetry = telemetry
        self._tracer = tracer
        self._caller = caller
        self._arrived_at = time.time()
        self._arrived = time.monotonic()
        self._jobs: Jobs | None = None
        self._texts_to_encode: int | None = None
        self._reached: list[float] = []  # seconds after arrival: handed to the worker, begun, first token
        self._first_token: float | None = None
        self._live: LiveRequest | None = None
        self._tally = Tally()
        self._texts: list[list[str]] = []  # of each choice
        self._warnings: list[str] = []
        self._outcome: Outcome = "ok"
        self._error: str | None = None
        self._param: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self.fail(error)
        record = self._record()
        self._telemetry.request_finished(record)
        self._log(record, self._tracer.request_finished(record))

    def live(self, identity: str, stop: Callable[[MlxdError], None]) -> LiveRequest:
        """Returns how the request shows among those there are now; it is kept current from here on."""
        self._live = LiveRequest(
            id=identity,
            request_id=self.request_id,
            endpoint=self.endpoint,
            model=self.model,
            adapter=self.adapter,
            key=self._caller.key,
            streamed=self.streamed,
            stop=stop,
        )
        return self._live

    def submitted(self, jobs: Jobs) -> None:
        """Takes note that the jobs are the worker's now."""
        self._jobs = jobs
        self._handed_over(Tally(len(jobs.all), jobs.per_prompt), len(jobs.all))

    def submitted_texts(self, count: int) -> None:
        """Takes note that a job is the worker's now which encodes so many texts, or pairs of them."""
        self._texts_to_encode = count
        self._handed_over(Tally(), 1)

    def _handed_over(self, tally: Tally, choices: int) -> None:
        self._tally = tally
        self._texts = [[] for _ in range(choices)]
        if self._live is not None:
            self._live.usage = lambda: self.usage
        self._reached.append(self._age)
        if self._live is not None:
            self._live.stage = Stage.WAITING

    def observe(self, choice: int, event: RequestEvent) -> Usage:
        """Takes note of what the worker said of a choice, and returns which tokens are known to be used by it."""
        is_first = self._tally.started is None
        used = self._tally.take(choice, event)
        if isinstance(event, Started) and is_first:
            self._reached.append(self._age)
            if self._live is not None:
                self._live.stage = Stage.RUNNING
        elif isinstance(event, Delta | Finished):
            if self._first_token is None and self._tally.tokens:
                self._first_token = self._age
                self._reached.append(self._first_token)
            if self.prompt is not None:
                self._texts[choice].append(event.text)
            if isinstance(event, Finished):
                self._warnings += event.warnings
        return used

    def fail(self, error: BaseException) -> None:
        """Takes note of how the request ended, if not well. The first failure counts: what follows is its consequence."""
        if self._outcome == "ok":
            self._outcome = outcome_of(error)
            self._error = _code_of(error)
            self._param = error.param if isinstance(error, MlxdError) else None

    @property
    def cache(self) -> CacheOutcome | None:
        """Returns what the cache gave; None before the worker started, or without a prefix cache."""
        return self._tally.started.cache if self._tally.started else None

    @property
    def usage(self) -> Usage | None:
        """Returns the tokens of all choices so far; None before any was begun."""
        return self._tally.usage

    @property
    def _age(self) -> float:
        return time.monotonic() - self._arrived

    def _phases(self, duration: float) -> tuple[Phase, ...]:
        """Returns the worker's times once it has told them; else what was seen of it until the end."""
        if not self._reached:
            return ()
        bounds = [*self._reached, duration]
        if timings := self._tally.timings:
            bounds = list(accumulate((timings.queue, timings.prefill, timings.decode), initial=self._reached[0]))
        phases = _PHASES if self._texts_to_encode is None else _PHASES[:2]
        return tuple(Phase(name, begin, end) for name, (begin, end) in zip(phases, pairwise(bounds), strict=False))

    def _record(self) -> RequestRecord:
        usage, duration = self.usage, self._age
        job = self._jobs.all[0] if self._jobs else None
        return RequestRecord(
            request_id=self.request_id,
            model=self.model,
            adapter=self.adapter,
            endpoint=self.endpoint,
            outcome=self._outcome,
            duration=duration,
            streamed=self.streamed,
            error=self._error,
            finish_reasons=self._tally.reasons,
            prompt_tokens=usage.prompt_tokens if usage else None,
            cached_tokens=usage.cached_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else 0,
            longest_completion=self._tally.longest,
            cache=self.cache,
            time_to_first_token=self._first_token,
            timings=self._tally.timings,
            phases=self._phases(duration),
            arrived=self._arrived_at,
            caller=self._caller,
            requested_model=self.requested_model,
            response_id=self._live.id if self._live and job else None,
            choices=len(self._jobs.all) if self._jobs else 1,
            sampling=job.sampling if job else None,
            max_tokens=job.max_tokens if job else None,
            texts=self._texts_to_encode,
        )

    def _guesses(self) -> dict[str, int]:
        """Returns how many tokens were guessed, and how many of these were right; nothing where none was."""
        usage = self.usage
        drafted = usage.accepted_tokens + usage.rejected_tokens if usage else 0
        return {"drafted_tokens": drafted, "accepted_tokens": usage.accepted_tokens} if usage and drafted else {}

    def _log(self, record: RequestRecord, trace_id: str | None) -> None:
        fields: dict[str, Any] = {
            "adapter": record.adapter or None,
            "endpoint": record.endpoint,
            "outcome": record.outcome,
            "error": record.error,
            "param": self._param,
            "finish_reason": record.finish_reason and record.finish_reason.value,
            "cache": record.cache and record.cache.value,
            "texts": record.texts,
            "prompt_tokens": record.prompt_tokens,
            "cached_tokens": record.cached_tokens,
            "completion_tokens": record.completion_tokens,
            **self._guesses(),
            "duration": round(record.duration, 4),
            "ttft": record.time_to_first_token and round(record.time_to_first_token, 4),
            **{phase.name: round(phase.duration, 4) for phase in record.phases},
            "warnings": self._warnings or None,
            "trace_id": trace_id,
            "prompt": self.prompt,
            "completion": None if self.prompt is None or record.texts is not None else self._completion,
        }
        present = {name: value for name, value in fields.items() if value is not None}
        log.info("request_finished", model=record.model, streamed=record.streamed, **present)

    @property
    def _completion(self) -> str | list[str]:
        texts = ["".join(text) for text in self._texts]
        return texts if len(texts) > 1 else "".join(texts)


def outcome_of(error: BaseException) -> Outcome:
    """Returns the outcome. A 429 or a 503 is no mistake of the client's, so only ``RequestError`` counts as one."""
    if isinstance(error, asyncio.CancelledError | ConnectionError | SlowClientError):
        return "aborted"
    return "client_error" if isinstance(error, RequestError) else "error"


def _code_of(error: BaseException) -> str | None:
    if isinstance(error, MlxdError):
        return error.code
    return None if outcome_of(error) == "aborted" else MlxdError.code
