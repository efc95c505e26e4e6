"""What models have looked at, and the embeddings that they keep of it, as their workers' heartbeats tell it."""

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from typing_extensions import override

from mlxd.media_terms import MediaFigures, MediaKind
from mlxd.observability.heartbeat_metrics import Families, HeartbeatMetrics
from mlxd.observability.lasting_counters import Labels
from mlxd.types import CacheFigures


class MediaMetrics(HeartbeatMetrics[MediaFigures]):
    """Metrics of the models that see."""

    @override
    def _families(self) -> "_Families":
        return _Families()

    @override
    def _figures(self, cache: CacheFigures) -> MediaFigures | None:
        return cache.media

    @override
    def _counted(self, figures: MediaFigures) -> dict[Labels, float]:
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


class _Families(Families[MediaFigures]):
    def __init__(self) -> None:
        self._counters = {
            "media": _counter("media", "Pictures and films of prompts that have begun.", "kind"),
            "tokens": _counter("media_tokens", "Tokens of prompts that stand for pictures and films."),
            "encodes": _counter("media_encodes", "Pictures and films that were encoded, or could not be.", "outcome"),
            "seconds": _counter("media_encode_seconds", "Seconds that it took to encode them."),
            "lookups": _counter("media_cache_lookups", "Pictures and films of prompts that were not in the prefix cache.", "outcome"),
            "evictions": _counter("media_cache_evictions", "Pictures and films whose embeddings were let go."),
        }
        self._bytes = _gauge("bytes", "What the embeddings take that are kept of pictures and films.")
        self._limit = _gauge("limit_bytes", "What those may take that no running request needs.")
        self.all: list[Metric] = [*self._counters.values(), self._bytes, self._limit]

    @override
    def add_gauges(self, model: str, figures: MediaFigures) -> None:
        self._bytes.add_metric([model], figures.bytes)
        self._limit.add_metric([model], figures.limit_bytes)

    @override
    def add_counter(self, model: str, labels: Labels, total: float) -> None:
        name, *others = labels
        self._counters[name].add_metric([model, *others], total)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"mlxd_{name}", text, labels=["model", *labels])


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"mlxd_media_cache_{name}", text, labels=["model"])
