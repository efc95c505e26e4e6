"""Sinks of what is measured never fail those who tell them."""

import inspect

import pytest
from structlog.testing import capture_logs

from mlxd.control.memory.ledger import Ledger
from mlxd.control.telemetry import Telemetry
from mlxd.observability.harmless import harmless
from mlxd.observability.metrics import Metrics
from mlxd.observability.tracing import Tracing

SINKS = [name for name, _ in inspect.getmembers(Telemetry, inspect.isfunction) if not name.startswith("_")]


def test_a_sink_that_fails_is_logged_once_and_the_others_go_on():
    @harmless
    def sink(value):
        return 1 / value

    with capture_logs() as logs:
        assert [sink(0), sink(2), sink(0)] == [None, 0.5, None]
    assert [(line["event"], line["sink"]) for line in logs] == [("telemetry_failed", "sink")]


@pytest.mark.parametrize("name", SINKS)
@pytest.mark.parametrize("nonsense", [None, -1, "x"])
def test_metrics_take_nonsense(name, nonsense):
    sink = getattr(Metrics(list, Ledger(0)), name)
    arguments = [nonsense] * len(inspect.signature(sink).parameters)
    assert sink(*arguments) is None


def test_traces_take_nonsense():
    class Broken:
        def request_finished(self, record):
            raise OSError(24, "Too many open files")

    tracing = Tracing()
    tracing._sink = Broken()
    assert tracing.request_finished(None) is None
