"""What is counted starts at 0: the first event is an increase already, and an alert on it sees it."""

import pytest

from mlxd.control.memory.ledger import Ledger
from mlxd.control.telemetry import UNKNOWN_MODEL
from mlxd.errors import MlxdError
from mlxd.observability.metrics import Metrics

# Those a request can meet: by deploy/prometheus/rules, each of them is told of.
TOLD = (
    *("queue_full", "request_timeout", "model_loading", "worker_lost", "generation_failed", "internal_error", "insufficient_memory"),
    *("model_failed", "model_drained", "request_cancelled", "shutting_down", "slow_client", "logits_not_finite"),
)


@pytest.fixture
def metrics():
    metrics = Metrics(list, Ledger(0))
    metrics.add_models(["tiny"])
    return metrics


def refusals(metrics, model, reason):
    return metrics.registry.get_sample_value("mlxd_request_rejections_total", {"model": model, "reason": reason})


@pytest.mark.parametrize("reason", TOLD)
def test_every_refusal_of_a_configured_model(metrics, reason):
    assert refusals(metrics, "tiny", reason) == 0


def test_an_internal_error_before_the_model_is_known(metrics):
    assert refusals(metrics, UNKNOWN_MODEL, MlxdError.code) == 0
    metrics.request_rejected("nobody", "a code of another version")
    assert refusals(metrics, UNKNOWN_MODEL, MlxdError.code) == 1


@pytest.mark.parametrize("reason", ["crash", "hang", "load_failed"])
def test_every_restart(metrics, reason):
    assert metrics.registry.get_sample_value("mlxd_worker_restarts_total", {"model": "tiny", "reason": reason}) == 0
