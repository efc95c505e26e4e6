"""Gauges of the models, read from their last known status when Prometheus asks."""

from collections.abc import Callable, Iterable, Iterator

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlxd.control.model_state import ModelStatus
from mlxd.types import ModelState

_WITHOUT_WORKER = frozenset({ModelState.STOPPED, ModelState.FAILED})


class ModelGauges(Collector):
    """State of every configured model; load and memory of those that have a worker.

    An unloaded model's gauges are absent rather than 0: nothing is known of it.
    """

    def __init__(self, statuses: Callable[[], Iterable[ModelStatus]]) -> None:
        self._statuses = statuses

    def describe(self) -> Iterable[Metric]:
        """The families without samples, so that registering asks nobody."""
        return _families()

    def collect(self) -> Iterator[Metric]:
        """One pass over the models; no waiting, no worker is asked."""
        state, running, waiting, memory = families = _families()
        for status in self._statuses():
            for possible in ModelState:
                state.add_metric([status.name, possible.value], possible is status.state)
            if status.state in _WITHOUT_WORKER:
                continue
            running.add_metric([status.name], status.running)
            waiting.add_metric([status.name], status.waiting)
            if status.heartbeat is not None:
                for kind, size in msgspec.structs.asdict(status.heartbeat.memory).items():
                    memory.add_metric([status.name, kind], size)
        yield from families


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("mlxd_model_state", "1 for the state a model is in, 0 for the others.", labels=["model", "state"]),
        GaugeMetricFamily("mlxd_requests_running", "Requests being computed.", labels=["model"]),
        GaugeMetricFamily("mlxd_requests_waiting", "Requests in a model's queue.", labels=["model"]),
        GaugeMetricFamily("mlxd_worker_memory_bytes", "Memory of a model's worker, as of its last heartbeat.", labels=["model", "kind"]),
    )
