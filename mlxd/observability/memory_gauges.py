"""Gauges of the machine's memory and of the ledger over it, read when Prometheus asks."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlxd.control.memory.ledger import Ledger
from mlxd.control.memory.pressure import ReadPressure


class MemoryGauges(Collector):
    """The gauges of memory. The pressure is absent where the system does not tell it."""

    def __init__(self, ledger: Ledger, read_pressure: ReadPressure) -> None:
        self._ledger = ledger
        self._read_pressure = read_pressure

    def describe(self) -> Iterable[Metric]:
        """Returns the families without samples."""
        return [self._limit(), self._reserved(), self._pressure()]

    def collect(self) -> Iterator[Metric]:
        """Yields the families with the figures as they are now."""
        yield _with_sample(self._limit(), self._ledger.limit)
        yield _with_sample(self._reserved(), self._ledger.total)
        yield _with_sample(self._pressure(), self._read_pressure())

    def _limit(self) -> GaugeMetricFamily:
        return GaugeMetricFamily("mlxd_memory_limit_bytes", "memory.limit: what all models together may use.")

    def _reserved(self) -> GaugeMetricFamily:
        return GaugeMetricFamily("mlxd_memory_reserved_bytes", "Reserved for the models that are loaded or loading.")

    def _pressure(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(
            "mlxd_memory_pressure_level", "How short of memory the machine is, by its own account: 0 normal, 1 warning, 2 critical."
        )


def _with_sample(family: GaugeMetricFamily, value: float | None) -> GaugeMetricFamily:
    if value is not None:
        family.add_metric([], value)
    return family
