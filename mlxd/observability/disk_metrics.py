"""What models keep on disk of their caches, as their workers' heartbeats tell it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlxd.control.model.status import ModelStatus
from mlxd.observability.model_gauges import has_worker
from mlxd.types import DiskDrop, DiskError, DiskFigures, DiskState

_Labels = tuple[str, ...]

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


class DiskMetrics(Collector):
    """Counters that go on over workers, each of which counts from 0; gauges of the models whose worker has a cache on disk.

    What a worker did after its last heartbeat is not counted.
    """

    def __init__(self, statuses: Callable[[], Iterable[ModelStatus]]) -> None:
        self._statuses = statuses
        self._seen: dict[str, tuple[int | None, Counter[_Labels]]] = {}  # model -> the worker, and what it had counted
        self._totals: dict[str, Counter[_Labels]] = {}

    def describe(self) -> Iterable[Metric]:
        """Returns the families without samples, so that registering asks nobody."""
        return _Families().all

    def collect(self) -> Iterator[Metric]:
        """Yields the families of one pass over the models."""
        families = _Families()
        for status in self._statuses():
            figures = status.heartbeat.cache.disk if status.heartbeat and has_worker(status) else None
            if figures is not None and figures.limit_bytes:  # else it is not configured, or not possible
                self._count(status, figures)
                families.add_gauges(status.name, figures)
        for model, totals in self._totals.items():
            families.add_counters(model, totals)
        yield from families.all

    def _count(self, status: ModelStatus, figures: DiskFigures) -> None:
        worker, before = self._seen.get(status.name, (None, Counter()))
        now = _counted(figures)
        if worker != status.pid:
            before = Counter()
        self._totals.setdefault(status.name, Counter(dict.fromkeys(now, 0))).update(now - before)
        self._seen[status.name] = (status.pid, now)


class _Families:
    def __init__(self) -> None:
        self.all: list[Metric] = []
        self._state = self._gauge("state", "1 for the state of a model's cache on disk, 0 for the others.", "state")
        self._gauges = {name: self._gauge(name, text) for name, text in _GAUGES.items()}
        self._counters = {name: self._counter(name, text) for name, text in _COUNTERS.items()}
        self._counters["dropped_blocks"] = self._counter("dropped_blocks", "Blocks that were not written to disk, by cause.", "reason")
        self._counters["errors"] = self._counter("errors", "What went wrong with a cache on disk.", "kind")

    def add_gauges(self, model: str, figures: DiskFigures) -> None:
        for state in DiskState:
            self._state.add_metric([model, state.value], state is figures.state)
        for name, family in self._gauges.items():
            family.add_metric([model], getattr(figures, name))

    def add_counters(self, model: str, totals: Counter[_Labels]) -> None:
        for (name, *labels), total in totals.items():
            self._counters[name].add_metric([model, *labels], total)

    def _gauge(self, name: str, text: str, *labels: str) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"mlxd_cache_disk_{name}", text, labels=["model", *labels])
        self.all.append(family)
        return family

    def _counter(self, name: str, text: str, *labels: str) -> CounterMetricFamily:
        family = CounterMetricFamily(f"mlxd_cache_disk_{name}", text, labels=["model", *labels])
        self.all.append(family)
        return family


def _counted(figures: DiskFigures) -> Counter[_Labels]:
    """Returns every counter by its name and label, those that are 0 included: they start so."""
    counted: Counter[_Labels] = Counter({(name,): getattr(figures, name) for name in _COUNTERS})
    counted.update({("dropped_blocks", reason.value): figures.dropped_blocks.get(reason, 0) for reason in DiskDrop})
    counted.update({("errors", kind.value): figures.errors.get(kind, 0) for kind in DiskError})
    return counted
