"""What of a model's figures its workers' heartbeats tell: counters that go on over workers, and gauges of those that are there."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from mlxd.control.model.status import ModelStatus
from mlxd.observability.lasting_counters import Labels, LastingCounters
from mlxd.observability.model_gauges import has_worker
from mlxd.types import CacheFigures

Figures = TypeVar("Figures")
Taken_contra = TypeVar("Taken_contra", contravariant=True)


class Families(Protocol[Taken_contra]):
    """The families of one pass over the models."""

    all: list[Metric]

    def add_gauges(self, model: str, figures: Taken_contra) -> None:
        """Adds what is so now."""

    def add_counter(self, model: str, labels: Labels, total: float) -> None:
        """Adds a total, by its name and labels."""


class HeartbeatMetrics(Collector, Generic[Figures]):
    """Metrics of a part of a cache's figures, of the models that have such a part."""

    def __init__(self, statuses: Callable[[], Iterable[ModelStatus]]) -> None:
        self._statuses = statuses
        self._counters = LastingCounters()

    def describe(self) -> Iterable[Metric]:
        """Returns the families without samples, so that registering asks nobody."""
        return self._families().all

    def collect(self) -> Iterator[Metric]:
        """Yields the families of one pass over the models."""
        families = self._families()
        for status in self._statuses():
            figures = self._figures(status.heartbeat.cache) if status.heartbeat and has_worker(status) else None
            if figures is not None:
                self._counters.count(status, self._counted(figures))
                families.add_gauges(status.name, figures)
        for model, labels, total in self._counters.totals():
            families.add_counter(model, labels, total)
        yield from families.all

    @abstractmethod
    def _families(self) -> Families[Figures]:
        """Returns the families without samples."""

    @abstractmethod
    def _figures(self, cache: CacheFigures) -> Figures | None:
        """Returns the part of a cache's figures; None where it has none."""

    @abstractmethod
    def _counted(self, figures: Figures) -> dict[Labels, float]:
        """Returns every counter by its name and labels."""
