"""What ``/metrics/vllm`` serves: mlxd's facts under the names of vLLM V1, for its dashboards and for gateways that route by load.

Everything is read from the metrics there are, with ``model_name`` and ``engine="0"`` as labels and mlxd's buckets. Only what vLLM's
dashboard shows and mlxd has no metric for (lengths of requests, finish reasons) is counted here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from mlxd.control.model.status import ModelStatus
from mlxd.control.telemetry import UNKNOWN_MODEL, RequestRecord
from mlxd.observability.model_gauges import has_worker
from mlxd.types import BlockFigures, CacheFigures, FinishReason

LENGTH = tuple(2**exponent for exponent in range(2, 18))  # tokens: 4 to 131,072
ENGINE = "0"
FINISHED_REASONS = (*(reason.value for reason in FinishReason), "abort", "error")


@dataclass(frozen=True)
class Renamed:
    """A metric of mlxd, or the sum of several of one kind, under vLLM's name. Labels beside the model are summed over."""

    name: str  # without the _total of a counter
    source: MetricWrapperBase
    others: tuple[MetricWrapperBase, ...] = ()


class VllmMetrics:
    """Metrics under vLLM's names. ``registry`` is what a scrape reads; ``statuses`` is called then, and must not block."""

    def __init__(self, renamed: Iterable[Renamed], statuses: Callable[[], Iterable[ModelStatus]]) -> None:
        self.registry = CollectorRegistry()
        self._success = Counter(
            "vllm:request_success",
            "Requests that are over, by how they ended.",
            ("model_name", "engine", "finished_reason"),
            registry=self.registry,
        )
        self._prompt = self._lengths("request_prompt_tokens", "Tokens of a request's prompt.")
        self._generation = self._lengths("request_generation_tokens", "Tokens generated for a request.")
        self._longest = self._lengths("request_max_num_generation_tokens", "Tokens of a request's longest choice.")
        self.registry.register(_Renaming(tuple(renamed)))
        self.registry.register(_Load(statuses))

    def _lengths(self, name: str, text: str) -> Histogram:
        return Histogram(f"vllm:{name}", text, ("model_name", "engine"), buckets=LENGTH, registry=self.registry)

    def add_model(self, model: str) -> None:
        """Starts the model's series at 0; those it has go on."""
        for reason in FINISHED_REASONS:
            self._success.labels(model, ENGINE, reason)
        for lengths in (self._prompt, self._generation, self._longest):
            lengths.labels(model, ENGINE)

    def request_finished(self, model: str, record: RequestRecord) -> None:
        """Counts a request that began to run; ``model`` is the label mlxd's own metrics have it under."""
        if model == UNKNOWN_MODEL:
            return
        self._success.labels(model, ENGINE, _finished_reason(record)).inc()
        self._prompt.labels(model, ENGINE).observe(record.prompt_tokens or 0)
        if record.texts is None:  # what encodes generates nothing
            self._generation.labels(model, ENGINE).observe(record.completion_tokens)
            self._longest.labels(model, ENGINE).observe(record.longest_completion)


class _Renaming(Collector):
    def __init__(self, renamed: tuple[Renamed, ...]) -> None:
        self._renamed = renamed

    def collect(self) -> Iterator[Metric]:
        for each in self._renamed:
            yield _renamed([family for source in (each.source, *each.others) for family in source.collect()], f"vllm:{each.name}")


def _renamed(families: Sequence[Metric], name: str) -> Metric:
    found = Metric(name, families[0].documentation, families[0].type)
    values: dict[tuple[str, str, str | None], float] = {}
    for family in families:
        for sample in family.samples:
            if sample.labels["model"] != UNKNOWN_MODEL:
                series = name + sample.name.removeprefix(family.name), sample.labels["model"], sample.labels.get("le")
                values[series] = values.get(series, 0) + sample.value
    for (sample_name, model, bound), value in values.items():
        found.add_sample(sample_name, _labels(model) | ({} if bound is None else {"le": bound}), value)
    return found


class _Load(Collector):
    """The load of the models that have a worker, and what their caches hold, once it has reported."""

    def __init__(self, statuses: Callable[[], Iterable[ModelStatus]]) -> None:
        self._statuses = statuses

    def describe(self) -> Iterable[Metric]:
        """Returns the families without samples, so that registering asks nobody."""
        return _load_families().values()

    def collect(self) -> Iterator[Metric]:
        families = _load_families()
        for status in self._statuses():
            if has_worker(status):
                for name, value in _load(status).items():
                    families[name].add_sample(name, _labels(status.name), value)
        yield from families.values()


def _load_families() -> dict[str, Metric]:
    texts = {
        "vllm:num_requests_running": "Requests being computed.",
        "vllm:num_requests_waiting": "Requests in the queue.",
        "vllm:kv_cache_usage_perc": "Share of the KV cache that running requests hold, from 0 to 1.",
        "vllm:gpu_cache_usage_perc": "vllm:kv_cache_usage_perc by its older name.",
    }
    return {name: Metric(name, text, "gauge") for name, text in texts.items()}


def _load(status: ModelStatus) -> Mapping[str, float]:
    found: dict[str, float] = {"vllm:num_requests_running": status.running, "vllm:num_requests_waiting": status.waiting}
    if status.heartbeat is not None:
        usage = _cache_usage(status.heartbeat.cache)
        found |= {"vllm:kv_cache_usage_perc": usage, "vllm:gpu_cache_usage_perc": usage}
    return found


def _cache_usage(cache: CacheFigures) -> float:
    """Returns the usage as vLLM means it: what is kept for later requests only can be taken at any time, and is not in use."""
    if isinstance(blocks := cache.kept, BlockFigures):
        return blocks.used / max(1, blocks.used + blocks.cached + blocks.free)
    return min(1.0, cache.bytes_used / cache.limit_bytes) if cache.limit_bytes else 0.0


def _finished_reason(record: RequestRecord) -> str:
    if record.outcome == "aborted":
        return "abort"
    return record.finish_reason.value if record.outcome == "ok" and record.finish_reason else "error"


def _labels(model: str) -> dict[str, str]:
    return {"model_name": model, "engine": ENGINE}
