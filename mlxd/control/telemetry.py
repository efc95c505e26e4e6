"""What happens, told to whoever measures: the layers above implement it with Prometheus."""

from dataclasses import dataclass
from typing import Literal, Protocol

from mlxd.types import CacheOutcome, FinishReason, Timings
from mlxd.wire.messages import StepStats

Outcome = Literal["ok", "client_error", "error", "aborted"]
UNKNOWN_MODEL = "_unknown"  # the label of requests for models that are not configured


@dataclass(frozen=True, kw_only=True)
class RequestRecord:
    """One request, when it is over. Times in seconds; what did not happen is None."""

    request_id: str
    model: str  # configured id, or UNKNOWN_MODEL; never an alias
    endpoint: str  # "chat_completions" | "completions"
    outcome: Outcome
    duration: float
    streamed: bool = False
    error: str | None = None  # an MlxdError's code
    finish_reason: FinishReason | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int = 0
    cache: CacheOutcome | None = None
    time_to_first_token: float | None = None
    timings: Timings | None = None


@dataclass(frozen=True, kw_only=True)
class CacheCounters:
    """What one model's prefix cache did since the daemon started."""

    query_tokens: int = 0  # of prompts that asked the cache
    hit_tokens: int = 0  # of these, found
    hits: int = 0  # requests, by outcome
    prefix_hits: int = 0
    misses: int = 0


@dataclass(frozen=True, kw_only=True)
class TokenCounters:
    """What one model computed since the daemon started, counted step by step rather than when requests are over."""

    prompt: int = 0  # tokens of prompts; those found in the prefix cache are not computed
    generated: int = 0


@dataclass(frozen=True)
class HistogramCounts:
    """How often a measured value fell between two bounds. The last count, beyond the bounds, is of what exceeds them all."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]


class Telemetry(Protocol):
    """Sink of everything that is counted as it happens. Gauges are read from the registry at scrape time."""

    def request_finished(self, record: RequestRecord) -> None:
        """Every request that reached a handler, once, however it ended."""

    def request_rejected(self, model: str, reason: str) -> None:
        """A request refused with an error: ``reason`` is its code."""

    def step(self, model: str, stats: StepStats) -> None:
        """One engine step."""

    def cache_evicted(self, model: str, entries: int) -> None:
        """An operator had it dropped: blocks of a paged cache, or whole prompts."""

    def model_loaded(self, model: str, seconds: float) -> None:
        """A worker became ready."""

    def worker_restarted(self, model: str, reason: str) -> None:
        """A worker ended unasked and is being replaced; ``reason`` as in ``WorkerExit``."""
