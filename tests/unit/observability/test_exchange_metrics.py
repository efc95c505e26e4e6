"""Models that give way to each other, counted."""

import pytest

from mlxd.control.memory.ledger import Ledger
from mlxd.observability.metrics import Metrics
from tests.support.statuses import model_status


@pytest.fixture
def metrics():
    made = Metrics(lambda: [model_status("big", awaiting=3), model_status("small")], Ledger(1000))
    made.add_models(["big", "small"])
    return made


def test_they_start_at_zero_and_count(metrics):
    def value(name, model="big"):
        return metrics.registry.get_sample_value(f"mlxd_{name}", {"model": model})

    names = ("model_exchanges_total", "model_turn_wait_seconds_count")
    assert [value(name) for name in names] == [0, 0]
    metrics.exchange.model_exchanged("big")
    metrics.exchange.turn_awaited("big", 7.0)
    assert [value(name) for name in (*names, "model_turn_wait_seconds_sum")] == [1, 1, 7.0]
    assert [value(name, "small") for name in names] == [0, 0]


def test_a_model_that_is_not_configured_gets_no_label_of_its_own(metrics):
    metrics.exchange.model_exchanged("stranger")
    assert metrics.registry.get_sample_value("mlxd_model_exchanges_total", {"model": "_unknown"}) == 1


def test_who_waits_is_counted_of_models_without_a_worker_too(metrics):
    found = {name: metrics.registry.get_sample_value("mlxd_requests_awaiting_model", {"model": name}) for name in ("big", "small")}
    assert found == {"big": 3, "small": 0}
