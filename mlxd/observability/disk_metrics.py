"""What models keep on disk of their caches, as their workers' heartbeats tell it."""

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from typing_extensions import override

from mlxd.disk_terms import DiskDrop, DiskError, DiskFigures, DiskState
from mlxd.observability.heartbeat_metrics import Families, HeartbeatMetrics
from mlxd.observability.lasting_counters import Labels
from mlxd.types import CacheFigures

_COUNTERS = {
    "hit_tokens": "Prompt tokens that were read from disk instead of computed.",
    "lost_blocks": "Blocks that left memory before they could be copied for the disk.",
    "read_blocks": "Blocks that were read from disk.",
    "read_bytes": "Bytes of blocks that were read from disk.",
    "missed_blocks": "Blocks that were to be read from disk and were not there any more.",
    "written_blocks": "Blocks that were written to disk.",
    "written_bytes": "Bytes that were written to disk.",
    "evicted_blocks": "Blocks that were removed from disk to make room, of whatever model.",
}
_GAUGES = {
    "blocks": "Blocks of a model that are on disk.",
    "bytes": "What these take on disk.",
    "directory_bytes": "What all that is in a model's directory takes on disk, of whatever model.",
    "limit_bytes": "What that may take.",
    "queued_bytes": "What waits in memory to be written.",
}


class DiskMetrics(HeartbeatMetrics[DiskFigures]):
    """Metrics of the models whose worker has a cache on disk."""

    @override
    def _families(self) -> "_Families":
        return _Families()

    @override
    def _figures(self, cache: CacheFigures) -> DiskFigures | None:
        return cache.disk if cache.disk and cache.disk.limit_bytes else None  # else it is not configured, or not possible

    @override
    def _counted(self, figures: DiskFigures) -> dict[Labels, float]:
        counted: dict[Labels, float] = {(name,): getattr(figures, name) for name in _COUNTERS}
        counted |= {("dropped_blocks", reason.value): figures.dropped_blocks.get(reason, 0) for reason in DiskDrop}
        return counted | {("errors", kind.value): figures.errors.get(kind, 0) for kind in DiskError}


class _Families(Families[DiskFigures]):
    def __init__(self) -> None:
        self.all: list[Metric] = []
        self._state = self._gauge("state", "1 for the state of a model's cache on disk, 0 for the others.", "state")
        self._gauges = {name: self._gauge(name, text) for name, text in _GAUGES.items()}
        self._counters = {name: self._counter(name, text) for name, text in _COUNTERS.items()}
        self._counters["dropped_blocks"] = self._counter("dropped_blocks", "Blocks that were not written to disk, by cause.", "reason")
        self._counters["errors"] = self._counter("errors", "What went wrong with a cache on disk.", "kind")

    @override
    def add_gauges(self, model: str, figures: DiskFigures) -> None:
        for state in DiskState:
            self._state.add_metric([model, state.value], state is figures.state)
        for name, family in self._gauges.items():
            family.add_metric([model], getattr(figures, name))

    @override
    def add_counter(self, model: str, labels: Labels, total: float) -> None:
        name, *others = labels
        self._counters[name].add_metric([model, *others], total)

    def _gauge(self, name: str, text: str, *labels: str) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"mlxd_cache_disk_{name}", text, labels=["model", *labels])
        self.all.append(family)
        return family

    def _counter(self, name: str, text: str, *labels: str) -> CounterMetricFamily:
        family = CounterMetricFamily(f"mlxd_cache_disk_{name}", text, labels=["model", *labels])
        self.all.append(family)
        return family
