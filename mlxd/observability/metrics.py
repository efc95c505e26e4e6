"""Every metric that is counted as it happens, and the registry that /metrics serves.

``Metrics`` implements ``control.telemetry.Telemetry``. What is a state rather than an event (requests running,
memory, state of a model) is read at scrape time by ``model_gauges`` and ``memory_gauges``.
"""

import importlib.metadata
import time
from collections.abc import Callable, Iterable
from itertools import pairwise

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics

from mlxd import __version__
from mlxd.config.certificates import CertificateState
from mlxd.control.memory.ledger import Ledger
from mlxd.control.memory.pressure import ReadPressure, pressure_reader
from mlxd.control.model.status import ModelStatus
from mlxd.control.reload import Result, Trigger
from mlxd.control.telemetry import UNKNOWN_MODEL, CacheCounters, HistogramCounts, RequestRecord, TokenCounters
from mlxd.errors import CODES, MlxdError
from mlxd.observability.adapter_metrics import AdapterMetrics
from mlxd.observability.cache_shares import CacheShares
from mlxd.observability.certificate_gauges import CertificateGauges
from mlxd.observability.disk_metrics import DiskMetrics
from mlxd.observability.encoding_metrics import EncodingMetrics
from mlxd.observability.exchange_metrics import ExchangeMetrics
from mlxd.observability.harmless import harmless
from mlxd.observability.key_metrics import Holdings, KeyMetrics
from mlxd.observability.log_counters import LogCounters
from mlxd.observability.media_metrics import MediaMetrics
from mlxd.observability.memory_gauges import MemoryGauges
from mlxd.observability.model_gauges import ModelGauges
from mlxd.observability.process_metrics import process_collector
from mlxd.observability.refusals import REFUSED_BY_LISTENER, REFUSED_BY_MODEL
from mlxd.observability.relief_metrics import ReliefMetrics
from mlxd.observability.vllm_metrics import Renamed, VllmMetrics
from mlxd.types import CacheOutcome
from mlxd.wire.messages import StepStats

# Upper bounds in seconds (or tokens, or rows); at most 16 each.
TTFT = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 300)
ITL = (0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.2, 0.4, 0.8, 2)
QUEUE = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120)
PREFILL = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 300)
DURATION = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 300, 600, 1200)
STEP_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
STEP_TOKENS = tuple(2**exponent for exponent in range(14))  # 1 to 8,192
BATCH_SIZE = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
LOAD = (0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 300, 600, 1200, 1800)
LOOP_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

# What starts at 0, so that the first event is already an increase to ``rate()``.
ENDPOINTS = ("chat_completions", "completions", "messages", "count_tokens", "responses", "input_tokens", "embeddings", "rerank", "score")
OUTCOMES = ("ok", "client_error", "error", "aborted")
RESTART_REASONS = ("crash", "hang", "load_failed")
RELOAD_RESULTS = (Result.APPLIED, Result.UNCHANGED, Result.FAILED, Result.INVALID, Result.REFUSED, Result.STALE)


class Metrics:
    """Counters and histograms of the daemon; ``registry`` is what a scrape reads.

    A ``model`` label is a configured id or ``_unknown``: ``add_models`` says which ids are configured, and anything else counts under
    ``_unknown``. Ids are never forgotten, for counters must not vanish.
    """

    def __init__(
        self,
        statuses: Callable[[], Iterable[ModelStatus]],
        ledger: Ledger,
        *,
        holdings: Holdings = tuple,
        read_pressure: ReadPressure | None = None,
        certificates: Callable[[], Iterable[CertificateState]] = tuple,
    ) -> None:
        """Builds the metrics. ``statuses``, ``holdings`` of keys, ``read_pressure`` (default: of this machine) and ``certificates`` are
        called at each scrape and must not block; ``ledger`` is read then.
        """
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each, which no query here uses
        self.registry = CollectorRegistry()
        self._models: set[str] = set()
        self._prompt_tokens: dict[str, int] = {}  # computed step by step; what is exported is counted when a request ends
        self._define_requests()
        self._define_engine()
        self._define_daemon()
        self.registry.register(MemoryGauges(ledger, read_pressure or pressure_reader()))
        self.relief = ReliefMetrics(self.registry)
        self.encoding = EncodingMetrics(self.registry)
        self.exchange = ExchangeMetrics(self.registry, self._label)
        self.registry.register(ModelGauges(statuses))
        self.registry.register(DiskMetrics(statuses))
        self.registry.register(MediaMetrics(statuses))
        self.adapters = AdapterMetrics(statuses)
        self.registry.register(self.adapters)
        self.registry.register(CacheShares(statuses, lambda: (one.holder.name for one in holdings())))
        self.registry.register(KeyMetrics(holdings))
        self.registry.register(CertificateGauges(certificates))
        self.registry.register(LogCounters())
        self.registry.register(process_collector())
        self.vllm = VllmMetrics(self._under_vllm_names(), statuses)
        for reason in REFUSED_BY_LISTENER:
            self.request_rejections.labels(UNKNOWN_MODEL, reason)
        for endpoint in ENDPOINTS:
            self.requests.labels(UNKNOWN_MODEL, endpoint, "client_error")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"mlxd_{name}", text, ("model", *labels), registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"mlxd_{name}", text, ("model",), buckets=buckets, registry=self.registry)

    def _define_requests(self) -> None:
        self.requests = self._counter("requests_total", "Requests that reached an endpoint, when over.", "endpoint", "outcome")
        self.request_rejections = self._counter("request_rejections_total", "Requests refused with an error, by its code.", "reason")
        self.prompt_tokens = self._counter("prompt_tokens_total", "Prompt tokens, computed or found in the prefix cache.", "source")
        self.generation_tokens = self._counter("generation_tokens_total", "Generated tokens, as they are generated.")
        self.drafted_tokens = self._counter("speculation_drafted_tokens_total", "Guesses of next tokens that steps verified.")
        self.accepted_tokens = self._counter("speculation_accepted_tokens_total", "Generated tokens that had been guessed.")
        self.cache_query_tokens = self._counter("prefix_cache_query_tokens_total", "Prompt tokens looked for in the prefix cache.")
        self.cache_hit_tokens = self._counter("prefix_cache_hit_tokens_total", "Prompt tokens found in the prefix cache.")
        self.cache_lookups = self._counter("prefix_cache_lookups_total", "Requests that asked the prefix cache.", "outcome")
        self.ttft = self._histogram("time_to_first_token_seconds", "From a request's arrival to its first token.", TTFT)
        self.queue = self._histogram("request_queue_seconds", "Time a request waited for its turn.", QUEUE)
        self.prefill = self._histogram("request_prefill_seconds", "Time a request's prompt took.", PREFILL)
        self.decode = self._histogram("request_decode_seconds", "Time a request's output took after its first token.", DURATION)
        self.duration = self._histogram("request_duration_seconds", "From arrival to end, of requests that began to run.", DURATION)

    def _define_engine(self) -> None:
        self.itl = self._histogram("inter_token_latency_seconds", "Time between tokens of a stream, once per step.", ITL)
        self.step_seconds = self._histogram("step_seconds", "Time of one engine step.", STEP_SECONDS)
        self.step_tokens = self._histogram("step_tokens", "Tokens computed in one engine step, prompt and output.", STEP_TOKENS)
        self.batch_size = self._histogram("batch_size", "Sequences that took part in one engine step that generates.", BATCH_SIZE)
        self.preemptions = self._counter("preemptions_total", "Sequences that gave their blocks back to make room, by cause.", "reason")
        self.evicted_blocks = self._counter("cache_evicted_blocks_total", "Cached blocks that were dropped, by cause.", "reason")
        self.nonfinite = self._counter("nonfinite_logits_total", "Requests that ended because what they computed was NaN or infinite.")
        self.load_seconds = self._histogram("model_load_seconds", "Time from starting a worker to its being ready.", LOAD)
        self.worker_restarts = self._counter("worker_restarts_total", "Workers that ended unasked and were replaced.", "reason")

    def _define_daemon(self) -> None:
        self.reload_successful = Gauge(
            "mlxd_config_last_reload_successful",
            "1 if what the newest file says is what runs, else 0.",
            registry=self.registry,
        )
        self.reload_timestamp = Gauge(
            "mlxd_config_last_reload_success_timestamp_seconds",
            "Unix time the running configuration was taken over.",
            registry=self.registry,
        )
        self.reloads = Counter("mlxd_config_reloads_total", "Reloads of the configuration.", ("trigger", "result"), registry=self.registry)
        for trigger in Trigger:
            for result in RELOAD_RESULTS:
                self.reloads.labels(trigger.value, result.value)
        self.config = Info("mlxd_config", "The running configuration file.", registry=self.registry)
        self.build = Info("mlxd_build", "Versions of mlxd and of the libraries its workers use.", registry=self.registry)
        self.build.info({"version": __version__, "mlx": _version("mlx"), "mlx_lm": _version("mlx-lm")})
        self.loop_lag = Histogram(
            "mlxd_event_loop_lag_seconds", "How late the daemon's event loop ran a timer.", buckets=LOOP_LAG, registry=self.registry
        )

    def _under_vllm_names(self) -> list[Renamed]:
        """Returns the metrics that vLLM has under its own names. One stands twice: vLLM has renamed it, and dashboards of either age are
        about.
        """
        return [
            Renamed("prompt_tokens", self.prompt_tokens, (self.encoding.tokens,)),
            Renamed("generation_tokens", self.generation_tokens),
            Renamed("prefix_cache_queries", self.cache_query_tokens),
            Renamed("prefix_cache_hits", self.cache_hit_tokens),
            Renamed("num_preemptions", self.preemptions),
            Renamed("time_to_first_token_seconds", self.ttft),
            Renamed("inter_token_latency_seconds", self.itl),
            Renamed("time_per_output_token_seconds", self.itl),
            Renamed("e2e_request_latency_seconds", self.duration),
            Renamed("request_queue_time_seconds", self.queue),
            Renamed("request_prefill_time_seconds", self.prefill),
            Renamed("request_decode_time_seconds", self.decode),
            Renamed("iteration_tokens_total", self.step_tokens),
        ]

    # ---- configuration ----

    def add_models(self, names: Iterable[str]) -> None:
        """Takes in that these ids are configured: their counters start at 0 (or go on, if they were there before)."""
        for name in names:
            self._models.add(name)
            self._start_at_zero(name)
            self.vllm.add_model(name)
            self.exchange.add_model(name)
            self.encoding.add_model(name)

    def reloaded(self, trigger: str, result: str) -> None:
        """Counts a reload that is over."""
        self.reloads.labels(trigger, result).inc()

    def config_loaded(self, sha256: str, when: float | None = None) -> None:
        """Takes in that a configuration was taken over; ``when`` is Unix time, by default now."""
        self.reload_timestamp.set(time.time() if when is None else when)
        self.config.info({"hash": sha256})

    # ---- control.telemetry.Telemetry ----

    @harmless
    def request_finished(self, record: RequestRecord) -> None:
        """Counts a request that is over, however it ended."""
        model = self._label(record.model)
        self.requests.labels(model, record.endpoint, record.outcome).inc()
        self.adapters.request_finished(record)
        if record.prompt_tokens is not None:  # it left the queue: what follows was measured, not refused
            self._count_tokens(model, record, record.prompt_tokens)
            self.encoding.request_finished(model, record)
            self.vllm.request_finished(model, record)
            self.duration.labels(model).observe(record.duration)
        if record.time_to_first_token is not None:
            self.ttft.labels(model).observe(record.time_to_first_token)
        if record.timings is not None:
            self.queue.labels(model).observe(record.timings.queue)
            self.prefill.labels(model).observe(record.timings.prefill)
            if record.texts is None:  # what encodes has no output that takes time after a first token
                self.decode.labels(model).observe(record.timings.decode)

    def _count_tokens(self, model: str, record: RequestRecord, prompt_tokens: int) -> None:
        if record.texts is not None:
            return  # they are counted as they are computed, and nobody looks for them in a cache
        cached = record.cached_tokens or 0
        self.prompt_tokens.labels(model, "computed").inc(max(0, prompt_tokens - cached))
        self.prompt_tokens.labels(model, "cached").inc(cached)
        if record.cache is not None:
            self.cache_lookups.labels(model, record.cache.value).inc()
            self.cache_query_tokens.labels(model).inc(prompt_tokens)
            self.cache_hit_tokens.labels(model).inc(cached)

    @harmless
    def cache_evicted(self, model: str, entries: int) -> None:
        """Counts what an operator dropped."""
        self.evicted_blocks.labels(self._label(model), "operator").inc(entries)

    @harmless
    def request_rejected(self, model: str, reason: str) -> None:
        """Counts an error answer; ``reason`` is the error's code."""
        self.request_rejections.labels(self._label(model), reason if reason in CODES else MlxdError.code).inc()

    @harmless
    def step(self, model: str, stats: StepStats) -> None:
        """Counts one engine step."""
        model = self._label(model)
        self.step_seconds.labels(model).observe(stats.seconds)
        self.step_tokens.labels(model).observe(stats.tokens)
        if stats.texts:
            self.encoding.step(model, stats)
        else:
            self.batch_size.labels(model).observe(stats.rows)
        self.generation_tokens.labels(model).inc(stats.generated_tokens)
        self.drafted_tokens.labels(model).inc(stats.drafted_tokens)
        self.accepted_tokens.labels(model).inc(stats.accepted_tokens)
        self._prompt_tokens[model] = self._prompt_tokens.get(model, 0) + stats.prompt_tokens
        self.nonfinite.labels(model).inc(stats.not_finite)
        if stats.inter_token is not None:
            self.itl.labels(model).observe(stats.inter_token)
        if stats.preemptions:
            self.preemptions.labels(model, "blocks").inc(stats.preemptions)
        if stats.evicted_blocks:
            self.evicted_blocks.labels(model, "room").inc(stats.evicted_blocks)

    @harmless
    def model_loaded(self, model: str, seconds: float) -> None:
        """Counts a worker that became ready."""
        self.load_seconds.labels(self._label(model)).observe(seconds)

    @harmless
    def worker_restarted(self, model: str, reason: str) -> None:
        """Counts a worker that ended unasked."""
        self.worker_restarts.labels(self._label(model), reason).inc()

    # ---- for those who show it ----

    def cache_counters(self, model: str) -> CacheCounters:
        """Returns what the prefix cache of a configured model did so far."""
        model = self._label(model)
        return CacheCounters(
            query_tokens=_count(self.cache_query_tokens.labels(model)),
            hit_tokens=_count(self.cache_hit_tokens.labels(model)),
            hits=_count(self.cache_lookups.labels(model, CacheOutcome.HIT.value)),
            prefix_hits=_count(self.cache_lookups.labels(model, CacheOutcome.PREFIX_HIT.value)),
            misses=_count(self.cache_lookups.labels(model, CacheOutcome.MISS.value)),
        )

    def token_counters(self, model: str) -> TokenCounters:
        """Returns what a configured model computed so far."""
        model = self._label(model)
        return TokenCounters(
            prompt=self._prompt_tokens.get(model, 0),
            generated=_count(self.generation_tokens.labels(model)),
            drafted=_count(self.drafted_tokens.labels(model)),
            accepted=_count(self.accepted_tokens.labels(model)),
        )

    def first_token_counts(self, model: str) -> HistogramCounts:
        """Returns how long the first tokens of a configured model's requests took, in seconds, of requests that are over."""
        return HistogramCounts(TTFT, _counts(self.ttft.labels(self._label(model))))

    def _label(self, model: str) -> str:
        return model if model in self._models else UNKNOWN_MODEL

    def _start_at_zero(self, model: str) -> None:
        for endpoint in ENDPOINTS:
            for outcome in OUTCOMES:
                self.requests.labels(model, endpoint, outcome)
        starting = {
            self.request_rejections: REFUSED_BY_MODEL,
            self.worker_restarts: RESTART_REASONS,
            self.cache_lookups: [outcome.value for outcome in CacheOutcome],
            self.preemptions: ["blocks"],
            self.evicted_blocks: ["room", "operator"],
            self.prompt_tokens: ["computed", "cached"],
        }
        for labelled, values in starting.items():
            for value in values:
                labelled.labels(model, value)
        guesses = (self.drafted_tokens, self.accepted_tokens)
        for counter in (self.generation_tokens, *guesses, self.cache_query_tokens, self.cache_hit_tokens, self.nonfinite):
            counter.labels(model)
        for histogram in (self.ttft, self.itl, self.queue, self.prefill, self.decode, self.duration):
            histogram.labels(model)
        for histogram in (self.step_seconds, self.step_tokens, self.batch_size, self.load_seconds):
            histogram.labels(model)


def _count(counter: Counter) -> int:
    return int(next(sample.value for metric in counter.collect() for sample in metric.samples if sample.name.endswith("_total")))


def _counts(histogram: Histogram) -> tuple[int, ...]:
    """Counts each bucket for itself: a histogram's own are cumulative."""
    cumulative = [int(sample.value) for metric in histogram.collect() for sample in metric.samples if sample.name.endswith("_bucket")]
    return tuple(upper - lower for lower, upper in pairwise([0, *cumulative]))


def _version(distribution: str) -> str:
    """Returns the version of a distribution without importing it, for the daemon never loads MLX; "unknown" where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
