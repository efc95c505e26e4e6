"""Gauges of the certificates that listeners serve, read when Prometheus asks."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlxd.config.certificates import CertificateState


class CertificateGauges(Collector):
    """The gauges of every listener that speaks TLS; a listener without has none."""

    def __init__(self, states: Callable[[], Iterable[CertificateState]]) -> None:
        self._states = states

    def describe(self) -> Iterable[Metric]:
        """Returns the families without samples."""
        return [_expiry(), _current()]

    def collect(self) -> Iterator[Metric]:
        """Yields the families as of now."""
        expiry, current = _expiry(), _current()
        for state in self._states():
            expiry.add_metric([state.listener], state.facts.expires)
            current.add_metric([state.listener], state.problem is None)
        yield expiry
        yield current


def _expiry() -> GaugeMetricFamily:
    text = "Unix time at which the certificate that a listener serves expires."
    return GaugeMetricFamily("mlxd_tls_certificate_expiry_timestamp_seconds", text, labels=["listener"])


def _current() -> GaugeMetricFamily:
    text = "1 if a listener serves the certificate that its files hold, 0 if they are bad and it serves the one before."
    return GaugeMetricFamily("mlxd_tls_certificate_current", text, labels=["listener"])
