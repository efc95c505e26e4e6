"""Whose what is in caches is: gauges of pins and of keys, read from the models' last known status when Prometheus asks."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlxd.cache_terms import PinState
from mlxd.control.model.status import ModelStatus
from mlxd.observability.model_gauges import has_worker

_PINNED = "mlxd_kv_pinned_bytes", "Keys and values of pinned prompts, which stay whatever happens.", ("model",)
_PINS = "mlxd_cache_pins", "Prompts that are to stay in a cache, by what has become of them.", ("model", "state")
_HELD = "mlxd_kv_key_bytes", "Keys and values that a key was the last to use, of running requests and for later ones.", ("model", "key")
_QUOTA = "mlxd_kv_key_quota_bytes", "What of a model's cache is a key's own.", ("model", "key")


class CacheShares(Collector):
    """Gauges of the models that have a worker. ``keys`` gives the names of the keys of the running configuration: no others are told."""

    def __init__(self, statuses: Callable[[], Iterable[ModelStatus]], keys: Callable[[], Iterable[str]]) -> None:
        self._statuses = statuses
        self._keys = keys

    def describe(self) -> Iterable[Metric]:
        """Returns the families without samples, so that registering asks nobody."""
        return [_family(*one) for one in (_PINNED, _PINS, _HELD, _QUOTA)]

    def collect(self) -> Iterator[Metric]:
        """Yields the families of one pass over the models; it does not wait, and no worker is asked."""
        pinned, pins, held, quotas = (_family(*one) for one in (_PINNED, _PINS, _HELD, _QUOTA))
        keys = set(self._keys())
        for status in self._statuses():
            if status.heartbeat is None or not has_worker(status):
                continue
            cache = status.heartbeat.cache
            pinned.add_metric([status.name], cache.bytes_pinned)
            for state in PinState:
                pins.add_metric([status.name, state.value], sum(pin.state is state for pin in cache.pins))
            for name in sorted(keys & cache.keys.keys()):
                held.add_metric([status.name, name], cache.keys[name].held)
                if (quota := cache.keys[name].quota) is not None:
                    quotas.add_metric([status.name, name], quota)
        yield from (pinned, pins, held, quotas)


def _family(name: str, text: str, labels: Iterable[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=list(labels))
