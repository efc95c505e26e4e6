"""What models have looked at, and the embeddings that they keep of it, as their workers' heartbeats tell it."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlxd.control.model.status import ModelStatus
from mlxd.media_terms import MediaFigures, MediaKind
from mlxd.observability.lasting_counters import Labels, LastingCounters
from mlxd.observability.model_gauges import has_worker


class MediaMetrics(Collector):
    """Counters that go on over workers, and gauges, of the models that see."""

    def __init__(self, statuses: Callable[[], Iterable[ModelStatus]]) -> None:
        self._statuses = statuses
        self._counters = LastingCounters()

    def describe(self) -> Iterable[Metric]:
        """Returns the families without samples, so that registering asks nobody."""
        return _Families().all

    def collect(self) -> Iterator[Metric]:
        """Yields the families of one pass over the models."""
        families = _Families()
        for status in self._statuses():
            figures = status.heartbeat.cache.media if status.heartbeat and has_worker(status) else None
            if figures is not None:
                self._counters.count(status, _counted(figures))
                families.add_gauges(status.name, figures)
        for model, (name, *labels), total in self._counters.totals():
            families.counters[name].add_metric([model, *labels], total)
        yield from families.all


class _Families:
    def __init__(self) -> None:
        self.counters = {
            "media": _counter("media", "Pictures and films of prompts that have begun.", "kind"),
            "tokens": _counter("media_tokens", "Tokens of prompts that stand for pictures and films."),
            "encodes": _counter("media_encodes", "Pictures and films that were encoded, or could not be.", "outcome"),
            "seconds": _counter("media_encode_seconds", "Seconds that it took to encode them."),
            "lookups": _counter("media_cache_lookups", "Pictures and films of prompts that were not in the prefix cache.", "outcome"),
            "evictions": _counter("media_cache_evictions", "Pictures and films whose embeddings were let go."),
        }
        self._bytes = _gauge("bytes", "What the embeddings take that are kept of pictures and films.")
        self._limit = _gauge("limit_bytes", "What those may take that no running request needs.")
        self.all: list[Metric] = [*self.counters.values(), self._bytes, self._limit]

    def add_gauges(self, model: str, figures: MediaFigures) -> None:
        self._bytes.add_metric([model], figures.bytes)
        self._limit.add_metric([model], figures.limit_bytes)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"mlxd_{name}", text, labels=["model", *labels])


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"mlxd_media_cache_{name}", text, labels=["model"])


def _counted(figures: MediaFigures) -> dict[Labels, float]:
    """Returns every counter by its name and label."""
    return {
        ("media", MediaKind.IMAGE.value): figures.images,
        ("media", MediaKind.VIDEO.value): figures.videos,
        ("tokens",): figures.tokens,
        ("encodes", "done"): figures.encoded,
        ("encodes", "failed"): figures.failed,
        ("seconds",): figures.encode_seconds,
        ("lookups", "hit"): figures.hits,
        ("lookups", "miss"): figures.misses,
        ("evictions",): figures.evicted,
    }
