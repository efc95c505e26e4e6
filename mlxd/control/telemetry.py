"""What happens, told to whoever measures: the layers above implement it with Prometheus and OpenTelemetry."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from mlxd.types import CacheOutcome, FinishReason, SamplingParams, Timings
from mlxd.wire.messages import StepStats

Outcome = Literal["ok", "client_error", "error", "aborted"]
UNKNOWN_MODEL = "_unknown"  # the label of requests for models that are not configured


@dataclass(frozen=True)
class Phase:
    """A stretch of a request's life, in seconds since it arrived."""

    name: Literal["queue", "prefill", "decode"]
    begin: float
    end: float

    @property
    def duration(self) -> float:
        """Returns the duration in seconds."""
        return self.end - self.begin


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The place where a request came in, the name of the key it was asked by, and the trace it is part of."""

    address: str | None = None  # of the listener: an IP address, or the path of a socket
    port: int | None = None
    key: str = "anonymous"  # the name of the key it was asked by
    trace_context: Mapping[str, str] = field(default_factory=dict)  # the W3C headers: traceparent, tracestate


@dataclass(frozen=True, kw_only=True)
class RequestRecord:
    """One request, when it is over. Its times are in seconds; what did not happen is None."""

    request_id: str
    model: str  # configured id, or UNKNOWN_MODEL; never an alias
    endpoint: str  # "chat_completions" | "completions" | "messages" | "count_tokens" | "responses" | "embeddings" | "rerank" | "score"
    outcome: Outcome
    duration: float
    adapter: str = ""  # the configured name of the one it asked for; empty: the model as it is
    streamed: bool = False
    error: str | None = None  # an MlxdError's code
    finish_reasons: tuple[FinishReason, ...] = ()  # of its choices, once all are over
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int = 0  # of all choices
    longest_completion: int = 0  # of these, the tokens of the choice that has most
    cache: CacheOutcome | None = None
    time_to_first_token: float | None = None
    timings: Timings | None = None  # by the worker, of a request that it finished
    phases: tuple[Phase, ...] = ()  # those it came to, whatever became of it
    arrived: float = 0.0  # Unix time
    caller: Caller = Caller()
    requested_model: str | None = None  # as the client calls it; None where nothing is called that
    response_id: str | None = None
    choices: int = 1  # answers to one or several prompts
    sampling: SamplingParams | None = None  # what held for it, with the model's defaults
    max_tokens: int | None = None
    texts: int | None = None  # that are to be encoded, or pairs of them; None: it generates

    @property
    def finish_reason(self) -> FinishReason | None:
        """Returns why its first choice ended."""
        return self.finish_reasons[0] if self.finish_reasons else None


@dataclass(frozen=True, kw_only=True)
class CacheCounters:
    """The numbers of what one model's prefix cache did since the daemon started."""

    query_tokens: int = 0  # of prompts that asked the cache
    hit_tokens: int = 0  # of these, found
    hits: int = 0  # requests, by outcome
    prefix_hits: int = 0
    misses: int = 0


@dataclass(frozen=True, kw_only=True)
class TokenCounters:
    """The tokens that one model computed since the daemon started, counted step by step rather than when requests are over."""

    prompt: int = 0  # tokens of prompts; those found in the prefix cache are not computed
    generated: int = 0
    drafted: int = 0  # guesses of next tokens that were verified
    accepted: int = 0  # of the generated ones, those that had been guessed


@dataclass(frozen=True)
class HistogramCounts:
    """The numbers of values between two bounds. The last count, beyond the bounds, is of what exceeds them all."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]


class Tracer(Protocol):
    """A sink of the same records for people who look at single requests."""

    def request_finished(self, record: RequestRecord) -> str | None:
        """Takes in a request that is over. Returns the id of the trace it is in; None where it is in none. It never blocks."""


class Telemetry(Protocol):
    """A sink of everything that is counted as it happens. Gauges are read from the registry at scrape time."""

    def request_finished(self, record: RequestRecord) -> None:
        """Counts every request that reached a handler, once, however it ended."""

    def request_rejected(self, model: str, reason: str) -> None:
        """Counts a request refused with an error, whose code is ``reason``."""

    def step(self, model: str, stats: StepStats) -> None:
        """Counts one engine step."""

    def cache_evicted(self, model: str, entries: int) -> None:
        """Counts what an operator had dropped: blocks of a paged cache, or whole prompts."""

    def model_loaded(self, model: str, seconds: float) -> None:
        """Takes in that a worker became ready."""

    def worker_restarted(self, model: str, reason: str) -> None:
        """Counts a worker that ended unasked and is being replaced; ``reason`` is one of ``WorkerExit``'s."""
