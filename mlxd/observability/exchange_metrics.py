"""What models go through because memory does not hold all of them at once."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram
from typing_extensions import override

from mlxd.control.memory.giving_way import ExchangeTelemetry
from mlxd.observability.harmless import harmless

WAIT = (0.1, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 90, 120, 180, 300, 600, 1200)  # seconds


class ExchangeMetrics(ExchangeTelemetry):
    """The metrics of ``control.memory.giving_way``, whose telemetry this is. ``label`` gives the label of a model."""

    def __init__(self, registry: CollectorRegistry, label: Callable[[str], str]) -> None:
        self._label = label
        self._exchanges = Counter(
            "mlxd_model_exchanges_total", "Times a model was unloaded to make room for another.", ("model",), registry=registry
        )
        self._wait = Histogram(
            "mlxd_model_turn_wait_seconds",
            "Time a load waited for its turn, where it had to, whether or not that came.",
            ("model",),
            buckets=WAIT,
            registry=registry,
        )

    def add_model(self, name: str) -> None:
        """Makes the metrics of a model start at 0."""
        self._exchanges.labels(name)
        self._wait.labels(name)

    @override
    @harmless
    def model_exchanged(self, model: str) -> None:
        self._exchanges.labels(self._label(model)).inc()

    @override
    @harmless
    def turn_awaited(self, model: str, seconds: float) -> None:
        self._wait.labels(self._label(model)).observe(seconds)
