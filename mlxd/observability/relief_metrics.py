"""What mlxd gives back when the machine is short of memory."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from mlxd.control.memory.governor import Measure
from mlxd.observability.harmless import harmless


class ReliefMetrics:
    """The metrics of ``control.memory.relief``, whose telemetry this is."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._taken = Counter("mlxd_memory_relief_total", "Measures taken because memory was short.", ("measure",), registry=registry)
        self._holding = Gauge(
            "mlxd_memory_relief_measures", "How many measures hold because memory is short: 0 as a rule, 7 at most.", registry=registry
        )
        for measure in Measure:
            self._taken.labels(measure.value)

    @harmless
    def measure_taken(self, measure: str) -> None:
        self._taken.labels(measure).inc()

    @harmless
    def measures_hold(self, count: int) -> None:
        """Takes in how many measures hold now."""
        self._holding.set(count)
