"""Gauges of the models, read from their last known status when Prometheus asks."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlxd.control.model.status import ModelStatus
from mlxd.types import BlockFigures, ModelState

_WITHOUT_WORKER = frozenset({ModelState.STOPPED, ModelState.FAILED})


def has_worker(status: ModelStatus) -> bool:
    """Tells whether there is a worker, so that something is known of what it does now."""
    return status.state not in _WITHOUT_WORKER


class ModelGauges(Collector):
    """State of every configured model, and the requests that wait for it; load and memory of those that have a worker.

    An unloaded model's gauges are absent rather than 0: nothing is known of it.
    """

    def __init__(self, statuses: Callable[[], Iterable[ModelStatus]]) -> None:
        self._statuses = statuses

    def describe(self) -> Iterable[Metric]:
        """Returns the families without samples, so that registering asks nobody."""
        return _Families().all

    def collect(self) -> Iterator[Metric]:
        """Yields the families of one pass over the models; it does not wait, and no worker is asked."""
        families = _Families()
        for status in self._statuses():
            for possible in ModelState:
                families.state.add_metric([status.name, possible.value], possible is status.state)
            families.awaiting.add_metric([status.name], status.awaiting)
            if has_worker(status):
                _add_worker(families, status)
        yield from families.all


class _Families:
    def __init__(self) -> None:
        self.all: list[GaugeMetricFamily] = []
        self.state = self._gauge("model_state", "1 for the state a model is in, 0 for the others.", "state")
        self.runner = self._gauge("model_runner", "1 for a model's runner; fallback: not the one asked for.", "runner", "fallback")
        self.attention = self._gauge("model_attention", "1 for what became of each way to attend over a paged cache.", "way", "state")
        self.stored = self._gauge("model_kv_layers", "Layers with a paged cache, by what their keys and values are stored as.", "type")
        self.running = self._gauge("requests_running", "Requests being computed.")
        self.waiting = self._gauge("requests_waiting", "Requests in a model's queue.")
        self.awaiting = self._gauge("requests_awaiting_model", "Requests that wait until a model is loaded, or for its turn.")
        self.memory = self._gauge("worker_memory_bytes", "Memory of a model's worker, as of its last heartbeat.", "kind")
        self.blocks = self._gauge("kv_blocks", "Blocks of a paged cache. shared: of the used ones, those with several holders.", "state")
        self.kv_bytes = self._gauge("kv_bytes", "Keys and values held, by running requests and for later ones.")
        self.saved = self._gauge("kv_bytes_saved_by_sharing", "What copies of the shared blocks would take.")

    def _gauge(self, name: str, text: str, *labels: str) -> GaugeMetricFamily:
        self.all.append(GaugeMetricFamily(f"mlxd_{name}", text, labels=["model", *labels]))
        return self.all[-1]


def _add_worker(families: _Families, status: ModelStatus) -> None:
    name = status.name
    families.running.add_metric([name], status.running)
    families.waiting.add_metric([name], status.waiting)
    if status.ready is not None:
        families.runner.add_metric([name, status.ready.runner, str(status.ready.is_fallback).lower()], 1)
        for one in status.ready.attention.ways if status.ready.attention else ():
            families.attention.add_metric([name, one.way, one.state], 1)
        for stored_as, layers in status.ready.keys_and_values.by_type().items() if status.ready.keys_and_values else ():
            families.stored.add_metric([name, stored_as], layers)
    if status.heartbeat is None:
        return
    for kind, size in status.heartbeat.memory.kinds.items():
        families.memory.add_metric([name, kind], size)
    cache = status.heartbeat.cache
    families.kv_bytes.add_metric([name], cache.bytes_used + cache.bytes_cached)
    if isinstance(blocks := cache.kept, BlockFigures):
        families.saved.add_metric([name], blocks.bytes_saved)
        counts = {"used": blocks.used, "shared": blocks.shared, "cached": blocks.cached, "free": blocks.free}
        for state, count in counts.items():
            families.blocks.add_metric([name, state], count)
