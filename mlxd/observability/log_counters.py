"""What became of the log, for those who cannot read it there."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from mlxd.observability.log_output import DROPPED


class LogCounters(Collector):
    """A collector that is read when Prometheus asks: where lines are dropped nothing else may happen that could fail."""

    @override
    def collect(self) -> Iterator[Metric]:
        yield self._dropped(DROPPED.total)

    def describe(self) -> Iterable[Metric]:
        """Returns the family without a sample."""
        return [self._dropped(None)]

    def _dropped(self, total: float | None) -> CounterMetricFamily:
        return CounterMetricFamily("mlxd_log_lines_dropped", "Log lines that could not be written.", value=total)
