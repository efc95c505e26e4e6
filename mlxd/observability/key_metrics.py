"""What the holders of keys use, read when Prometheus asks. The series of a key that is removed go with it."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlxd.control.quotas.key_use import Right
from mlxd.control.quotas.key_uses import Holding

Holdings = Callable[[], Iterable[Holding]]


class KeyMetrics(Collector):
    """Requests, tokens and refusals of each key of the running configuration, by its name, which is never the key."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    def describe(self) -> Iterable[Metric]:
        """Returns the families without samples, so that registering asks nobody."""
        return _Families().all

    def collect(self) -> Iterator[Metric]:
        """Yields the families of one pass over the keys."""
        families = _Families()
        for holding in self._holdings():
            families.add(holding)
        yield from families.all


class _Families:
    def __init__(self) -> None:
        self._running = GaugeMetricFamily("mlxd_key_requests_running", "Requests for answers that are under way.", labels=["key"])
        self._requests = CounterMetricFamily("mlxd_key_requests", "Requests that were admitted.", labels=["key"])
        self._refusals = CounterMetricFamily("mlxd_key_refusals", "Requests refused, by the right exceeded.", labels=["key", "reason"])
        self._prompt = CounterMetricFamily(
            "mlxd_key_prompt_tokens", "Prompt tokens, computed or found in the prefix cache.", labels=["key", "source"]
        )
        self._generated = CounterMetricFamily("mlxd_key_generation_tokens", "Generated tokens, as they are delivered.", labels=["key"])
        self.all: list[Metric] = [self._running, self._requests, self._refusals, self._prompt, self._generated]

    def add(self, holding: Holding) -> None:
        name, use = holding.holder.name, holding.use
        self._running.add_metric([name], use.running)
        self._requests.add_metric([name], use.requests)
        for right in Right:
            self._refusals.add_metric([name, right.value], use.refused[right])
        self._prompt.add_metric([name, "computed"], use.used.prompt_tokens - use.used.cached_tokens)
        self._prompt.add_metric([name, "cached"], use.used.cached_tokens)
        self._generated.add_metric([name], use.used.completion_tokens)
