"""What is asked of adapters, and what has become of them. The series of one that is not configured any more go with it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlxd.adapter_terms import AdapterFigures, AdapterState
from mlxd.config.given_names import Asked
from mlxd.control.model.status import ModelStatus
from mlxd.control.telemetry import Outcome, RequestRecord
from mlxd.observability.lasting_counters import Labels, LastingCounters
from mlxd.observability.model_gauges import has_worker

_OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


class AdapterMetrics(Collector):
    """Metrics of each adapter that is configured, by its model and its own name: counted as requests end, and read from the heartbeats of
    models' workers.
    """

    def __init__(self, statuses: Callable[[], Iterable[ModelStatus]]) -> None:
        self._statuses = statuses
        self._requests: dict[Asked, Counter[Outcome]] = {}
        self._tokens: Counter[Asked] = Counter()
        self._lasting = LastingCounters()

    def request_finished(self, record: RequestRecord) -> None:
        """Counts a request that asked for an adapter."""
        if record.adapter:
            asked = Asked(record.model, record.adapter)
            self._requests.setdefault(asked, Counter())[record.outcome] += 1
            self._tokens[asked] += record.completion_tokens

    def describe(self) -> Iterable[Metric]:
        """Returns the families without samples, so that registering asks nobody."""
        return _Families().all

    def collect(self) -> Iterator[Metric]:
        """Yields the families of one pass over the models."""
        families, configured = _Families(), set[Asked]()
        for status in self._statuses():
            if status.adapters and has_worker(status):
                self._lasting.count(status, _counted(status.adapters))
            for figures in status.adapters:
                asked = Asked(status.name, figures.name)
                configured.add(asked)
                families.add_requests(asked, self._requests.get(asked, Counter()), self._tokens[asked])
                if has_worker(status):
                    families.add_state(asked, figures)
        for model, (counter, name), total in self._lasting.totals():
            if Asked(model, name) in configured:
                families.lasting[counter].add_metric([model, name], total)
        self._forget(but=configured)
        yield from families.all

    def _forget(self, but: set[Asked]) -> None:
        for asked in self._requests.keys() - but:
            del self._requests[asked]
        self._tokens = Counter({asked: self._tokens[asked] for asked in but})


def _counted(figures: Iterable[AdapterFigures]) -> dict[Labels, float]:
    counted: dict[Labels, float] = {}
    for one in figures:
        counted |= {("loads", one.name): one.loads, ("evictions", one.name): one.evictions}
    return counted


class _Families:
    def __init__(self) -> None:
        self._requests = _counter("requests", "Requests that asked for an adapter, when over.", "outcome")
        self._tokens = _counter("generation_tokens", "Tokens generated with it, of requests that are over.")
        self._state = _gauge("state", "1 for the state an adapter is in, 0 for the others.", "state")
        self._bytes = _gauge("bytes", "What an adapter takes that is loaded.")
        self._running = _gauge("requests_running", "Requests that run or wait with it.")
        self.lasting = {
            "loads": _counter("loads", "How often it was loaded."),
            "evictions": _counter("evictions", "How often it was unloaded to make room for others."),
        }
        self.all: list[Metric] = [self._requests, self._tokens, self._state, self._bytes, self._running, *self.lasting.values()]

    def add_requests(self, asked: Asked, requests: Mapping[Outcome, int], tokens: int) -> None:
        for outcome in _OUTCOMES:
            self._requests.add_metric([asked.model, asked.adapter, outcome], requests.get(outcome, 0))
        self._tokens.add_metric([asked.model, asked.adapter], tokens)

    def add_state(self, asked: Asked, figures: AdapterFigures) -> None:
        for possible in AdapterState:
            self._state.add_metric([asked.model, asked.adapter, possible.value], possible is figures.state)
        self._bytes.add_metric([asked.model, asked.adapter], figures.bytes if figures.state is AdapterState.LOADED else 0)
        self._running.add_metric([asked.model, asked.adapter], figures.requests)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"mlxd_adapter_{name}", text, labels=["model", "adapter", *labels])


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"mlxd_adapter_{name}", text, labels=["model", "adapter", *labels])
