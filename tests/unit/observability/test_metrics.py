"""Counting: what each event does to which series."""

import dataclasses
from math import inf

import pytest

from mlxd.control.memory.ledger import Ledger
from mlxd.control.memory.pressure import PressureLevel
from mlxd.control.telemetry import UNKNOWN_MODEL, CacheCounters, RequestRecord, Telemetry, TokenCounters
from mlxd.errors import CODES
from mlxd.observability.metrics import Metrics
from mlxd.observability.refusals import REFUSED_BY_LISTENER, REFUSED_BY_MODEL
from mlxd.types import CacheOutcome, ModelState, Timings
from mlxd.wire.messages import StepStats
from tests.support.statuses import HEARTBEAT, MEMORY, model_status, running_status

FINISHED = RequestRecord(
    request_id="r",
    model="tiny",
    endpoint="chat_completions",
    outcome="ok",
    duration=3.0,
    prompt_tokens=100,
    cached_tokens=60,
    completion_tokens=7,
    longest_completion=7,
    cache=CacheOutcome.PREFIX_HIT,
    time_to_first_token=0.3,
    timings=Timings(queue=0.1, prefill=0.2, decode=2.7),
)
REFUSED = RequestRecord(
    request_id="r", model="tiny", endpoint="completions", outcome="client_error", duration=0.001, error="invalid_request"
)


@pytest.fixture
def statuses():
    return []


@pytest.fixture
def metrics(statuses):
    made = Metrics(lambda: statuses, Ledger(1000))
    made.add_models(["tiny"])
    return made


@pytest.fixture
def value(metrics):
    return lambda name, **labels: metrics.registry.get_sample_value(f"mlxd_{name}", labels)


def test_it_is_a_telemetry(metrics):
    sink: Telemetry = metrics
    sink.model_loaded("tiny", 1.0)


def test_a_finished_request_counts_once_everywhere(metrics, value):
    metrics.request_finished(FINISHED)
    assert value("requests_total", model="tiny", endpoint="chat_completions", outcome="ok") == 1
    assert value("prompt_tokens_total", model="tiny", source="computed") == 40
    assert value("prompt_tokens_total", model="tiny", source="cached") == 60
    assert value("prefix_cache_query_tokens_total", model="tiny") == 100
    assert value("prefix_cache_hit_tokens_total", model="tiny") == 60
    assert value("prefix_cache_lookups_total", model="tiny", outcome="prefix_hit") == 1
    assert value("prefix_cache_lookups_total", model="tiny", outcome="hit") == 0
    for name, expected in [
        ("time_to_first_token", 0.3),
        ("request_queue", 0.1),
        ("request_prefill", 0.2),
        ("request_decode", 2.7),
        ("request_duration", 3.0),
    ]:
        assert value(f"{name}_seconds_sum", model="tiny") == expected
        assert value(f"{name}_seconds_count", model="tiny") == 1


def test_a_refused_request_leaves_the_latencies_alone(metrics, value):
    metrics.request_finished(REFUSED)
    assert value("requests_total", model="tiny", endpoint="completions", outcome="client_error") == 1
    for name in ("time_to_first_token", "request_queue", "request_prefill", "request_decode", "request_duration"):
        assert value(f"{name}_seconds_count", model="tiny") == 0


def test_a_request_without_a_prefix_cache_is_no_lookup(metrics, value):
    record = RequestRecord(
        request_id="r", model="tiny", endpoint="completions", outcome="aborted", duration=1.0, prompt_tokens=5, completion_tokens=2
    )
    metrics.request_finished(record)
    assert value("prompt_tokens_total", model="tiny", source="computed") == 5
    assert value("prefix_cache_query_tokens_total", model="tiny") == 0
    assert value("request_duration_seconds_count", model="tiny") == 1


def test_unconfigured_models_count_as_unknown(metrics, value):
    metrics.request_rejected("nobody' OR 1=1", "model_not_found")
    metrics.request_finished(RequestRecord(request_id="r", model="evil", endpoint="completions", outcome="client_error", duration=0.1))
    assert value("request_rejections_total", model=UNKNOWN_MODEL, reason="model_not_found") == 1
    assert value("requests_total", model=UNKNOWN_MODEL, endpoint="completions", outcome="client_error") == 1
    labels = {sample.labels.get("model") for metric in metrics.registry.collect() for sample in metric.samples}
    assert labels == {None, "tiny", UNKNOWN_MODEL}


def test_reasons_of_rejections_are_bounded(metrics, value):
    metrics.request_rejected("tiny", "queue_full")
    metrics.request_rejected("tiny", "made up by a client")
    assert value("request_rejections_total", model="tiny", reason="queue_full") == 1
    assert value("request_rejections_total", model="tiny", reason="internal_error") == 1
    assert value("request_rejections_total", model="tiny", reason="made up by a client") is None


def test_reasons_that_start_at_zero_exist():
    assert set(REFUSED_BY_LISTENER) | set(REFUSED_BY_MODEL) <= CODES


def test_a_step_is_observed_once(metrics, value):
    metrics.step("tiny", StepStats(seconds=0.05, tokens=512, rows=1))
    metrics.step("tiny", StepStats(seconds=0.02, tokens=3, rows=3, inter_token=0.021))
    assert value("step_seconds_count", model="tiny") == 2
    assert value("step_tokens_sum", model="tiny") == 515
    assert value("batch_size_bucket", model="tiny", le="2.0") == 1
    assert value("inter_token_latency_seconds_count", model="tiny") == 1
    assert value("inter_token_latency_seconds_bucket", model="tiny", le="0.02") == 0
    assert value("inter_token_latency_seconds_bucket", model="tiny", le="0.03") == 1


def test_loads_and_restarts(metrics, value):
    metrics.model_loaded("tiny", 12.0)
    metrics.worker_restarted("tiny", "hang")
    assert value("model_load_seconds_sum", model="tiny") == 12
    assert value("worker_restarts_total", model="tiny", reason="hang") == 1
    assert value("worker_restarts_total", model="tiny", reason="crash") == 0


def test_every_series_of_a_configured_model_starts_at_zero(metrics):
    metrics.add_models(["other"])

    def series(model):
        return {
            (sample.name, *sorted((key, label) for key, label in sample.labels.items() if key != "model")): sample.value
            for metric in metrics.registry.collect()
            for sample in metric.samples
            if sample.labels.get("model") == model
        }

    assert series("other") == series("tiny")
    assert set(series("other").values()) == {0.0}
    before = series("other")
    metrics.request_finished(FINISHED)
    metrics.step("tiny", StepStats(seconds=1, tokens=1, rows=1, inter_token=1))
    assert series("tiny").keys() == before.keys(), "an ordinary event makes no new series"


def test_adding_a_model_again_keeps_its_counts(metrics, value):
    metrics.request_finished(FINISHED)
    metrics.add_models(["tiny"])
    assert value("prefix_cache_query_tokens_total", model="tiny") == 100


def test_cache_counters(metrics):
    assert metrics.cache_counters("tiny") == CacheCounters()
    metrics.request_finished(FINISHED)
    assert metrics.cache_counters("tiny") == CacheCounters(query_tokens=100, hit_tokens=60, prefix_hits=1)


def test_tokens_are_counted_step_by_step(metrics, value):
    assert metrics.token_counters("tiny") == TokenCounters()
    metrics.step("tiny", StepStats(seconds=0.05, tokens=512, rows=1, prompt_tokens=512, generated_tokens=1))
    metrics.step("tiny", StepStats(seconds=0.02, tokens=34, rows=3, prompt_tokens=32, generated_tokens=2))
    assert metrics.token_counters("tiny") == TokenCounters(prompt=544, generated=3)
    assert value("generation_tokens_total", model="tiny") == 3


def test_first_tokens_are_counted_bucket_by_bucket(metrics):
    for seconds in (0.03, 0.04, 0.2, 1000):
        metrics.request_finished(dataclasses.replace(FINISHED, time_to_first_token=seconds))
    counted = metrics.first_token_counts("tiny")
    assert len(counted.counts) == len(counted.bounds) + 1
    by_bound = dict(zip((*counted.bounds, inf), counted.counts, strict=True))
    assert {bound: count for bound, count in by_bound.items() if count} == {0.05: 2, 0.25: 1, inf: 1}


def test_configuration(metrics, value):
    metrics.config_loaded("abc", when=1000.0)
    assert value("config_last_reload_success_timestamp_seconds") == 1000
    metrics.reloaded("file", "refused")
    assert value("config_reloads_total", trigger="file", result="refused") == 1
    assert value("config_last_reload_success_timestamp_seconds") == 1000
    metrics.config_loaded("def", when=2000.0)
    assert value("config_info", hash="def") == 1
    assert value("config_info", hash="abc") is None


def test_build_info_names_the_libraries(metrics):
    [sample] = next(metric for metric in metrics.registry.collect() if metric.name == "mlxd_build").samples
    assert sample.labels.keys() == {"version", "mlx", "mlx_lm"}
    assert sample.labels["mlx"][0].isdigit()


@pytest.mark.parametrize("state", list(ModelState))
def test_exactly_one_state_is_one(statuses, value, state):
    statuses.append(model_status(state=state))
    assert {each: value("model_state", model="tiny", state=each) for each in ModelState} == {
        each: float(each is state) for each in ModelState
    }


def test_gauges_of_a_model_with_a_worker(statuses, value):
    statuses.append(running_status())
    assert value("requests_running", model="tiny") == 1
    assert value("requests_waiting", model="tiny") == 2
    for kind in (
        *("weights", "kv", "states", "snapshots", "draft", "adapters", "grammars", "disk", "transients", "other"),
        *("held", "footprint", "rss", "mlx_active", "mlx_cache", "mlx_peak"),
    ):
        assert value("worker_memory_bytes", model="tiny", kind=kind) == getattr(MEMORY, kind)


@pytest.mark.parametrize("state", [ModelState.STOPPED, ModelState.FAILED])
def test_gauges_of_an_unloaded_model_go_and_its_counters_stay(metrics, statuses, value, state):
    metrics.request_finished(FINISHED)
    statuses.append(running_status(state=state))
    assert value("requests_running", model="tiny") is None
    assert value("worker_memory_bytes", model="tiny", kind="rss") is None
    assert value("model_state", model="tiny", state=state) == 1
    assert value("prefix_cache_query_tokens_total", model="tiny") == 100


def test_a_worker_without_heartbeat_has_no_memory_yet(statuses, value):
    statuses.append(model_status(state=ModelState.LOADING, pid=42))
    assert value("requests_running", model="tiny") == 0
    assert value("worker_memory_bytes", model="tiny", kind="rss") is None


def test_a_removed_model_s_gauges_go_and_its_counters_stay(metrics, statuses, value):
    metrics.add_models(["other"])
    statuses += [running_status("tiny"), running_status("other")]
    metrics.request_finished(FINISHED)
    assert value("requests_running", model="tiny") == 1
    del statuses[0]
    metrics.add_models(["other"])  # as a reload does
    gauges = {
        "mlxd_requests_running",
        "mlxd_requests_waiting",
        "mlxd_model_state",
        "mlxd_model_runner",
        "mlxd_model_attention",
        "mlxd_model_kv_layers",
        "mlxd_worker_memory_bytes",
        "mlxd_kv_bytes",
    }
    left = {(metric.name, sample.labels.get("model")) for metric in metrics.registry.collect() for sample in metric.samples}
    assert {name for name, model in left if model == "other"} >= gauges
    assert {name for name, model in left if model == "tiny"} & gauges == set()
    assert value("prefix_cache_query_tokens_total", model="tiny") == 100
    metrics.request_finished(FINISHED)  # it was still running when the model was removed
    assert value("prefix_cache_query_tokens_total", model="tiny") == 200


def test_counters_outlive_a_worker_and_gauges_are_the_new_one_s(metrics, statuses, value):
    statuses.append(running_status())
    metrics.step("tiny", StepStats(seconds=0.1, tokens=5, rows=1, preemptions=2))
    statuses[0] = model_status(state=ModelState.LOADING)
    metrics.worker_restarted("tiny", "crash")
    assert value("worker_memory_bytes", model="tiny", kind="kv") is None
    statuses[0] = running_status(heartbeat=HEARTBEAT, running=0)
    metrics.step("tiny", StepStats(seconds=0.1, tokens=5, rows=1, preemptions=1))
    assert value("preemptions_total", model="tiny", reason="blocks") == 3
    assert value("step_tokens_sum", model="tiny") == 10
    assert value("requests_running", model="tiny") == 0


def test_memory_of_the_machine_and_of_the_ledger():
    ledger, level = Ledger(1000), [None]
    registry = Metrics(list, ledger, read_pressure=lambda: level[0]).registry
    ledger.reserve("tiny#1", 300)
    assert registry.get_sample_value("mlxd_memory_limit_bytes") == 1000
    assert registry.get_sample_value("mlxd_memory_reserved_bytes") == 300
    assert registry.get_sample_value("mlxd_memory_pressure_level") is None, "where the system does not tell, there is no series"
    for level[0] in PressureLevel:
        assert registry.get_sample_value("mlxd_memory_pressure_level") == level[0]
