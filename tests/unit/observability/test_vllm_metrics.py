"""/metrics/vllm: what the dashboard that vLLM publishes asks for is there, and says what mlxd's own metrics say."""

import dataclasses
import json
import re
import subprocess

import msgspec
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

from mlxd.control.memory.ledger import Ledger
from mlxd.control.telemetry import UNKNOWN_MODEL
from mlxd.errors import CODES
from mlxd.observability.metrics import Metrics
from mlxd.types import CacheFigures, FinishReason, ModelState
from mlxd.wire.messages import StepStats
from tests.support.prometheus import program
from tests.support.statuses import CACHE, HEARTBEAT, PAGED_CACHE, READY, model_status, running_status
from tests.support.vllm_dashboard import GATEWAYS, PANELS
from tests.unit.observability.test_metrics import FINISHED, REFUSED

EXPRESSIONS = [*(expression for panel in PANELS.values() for expression in panel), *GATEWAYS]
DONE = dataclasses.replace(FINISHED, finish_reasons=(FinishReason.STOP,))
SELECTOR = re.compile(r"(vllm:\w+)(\{[^}]*\})?")


def filled(expression):
    """As Grafana sends it."""
    return expression.replace("$model_name", "tiny").replace("$__rate_interval", "1m")


def with_cache(cache, runner="paged", **fields):
    ready = msgspec.structs.replace(READY, runner=runner)
    return running_status(ready=ready, heartbeat=msgspec.structs.replace(HEARTBEAT, cache=cache), **fields)


@pytest.fixture
def statuses():
    return [with_cache(PAGED_CACHE)]


@pytest.fixture
def metrics(statuses):
    made = Metrics(lambda: statuses, Ledger(1000))
    made.add_models(["tiny"])
    return made


@pytest.fixture
def value(metrics):
    return lambda name, model="tiny", **labels: metrics.vllm.registry.get_sample_value(
        f"vllm:{name}", {"model_name": model, "engine": "0", **labels}
    )


@pytest.fixture
def scraped(metrics):
    """Every series of the text, as Prometheus reads it."""
    metrics.request_finished(DONE)
    text = generate_latest(metrics.vllm.registry).decode()
    return [(sample.name, sample.labels) for family in parse(text) for sample in family.samples]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_finds_its_series(scraped, expression):
    wanted = SELECTOR.findall(filled(expression))
    assert wanted
    for name, matchers in wanted:
        labels = dict(re.findall(r'(\w+)="([^"]*)"', matchers))
        assert any(found == name and labels.items() <= has.items() for found, has in scraped), name + matchers


def test_what_expressions_group_by_is_there(scraped):
    for name, labels in scraped:
        assert labels.keys() >= {"model_name", "engine"}, name
        assert ("le" in labels) == name.endswith("_bucket")
        assert ("finished_reason" in labels) == (name == "vllm:request_success_total")


def test_prometheus_takes_every_expression(tmp_path):
    rules = {"groups": [{"name": "vllm", "rules": [{"record": f"r:{n}", "expr": filled(e)} for n, e in enumerate(EXPRESSIONS)]}]}
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps(rules))  # which is YAML
    checked = subprocess.run([program("promtool"), "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_counters_and_histograms_say_what_ours_say(metrics, value):
    metrics.request_finished(DONE)
    metrics.step("tiny", StepStats(seconds=0.02, tokens=3, rows=3, inter_token=0.021, preemptions=2, generated_tokens=3))
    assert value("prompt_tokens_total") == 100, "computed and cached together, as in vLLM"
    assert value("generation_tokens_total") == 3, "as they are generated, as in vLLM"
    assert (value("prefix_cache_queries_total"), value("prefix_cache_hits_total")) == (100, 60)
    assert value("num_preemptions_total") == 2
    for name, ours in [
        ("time_to_first_token_seconds", metrics.ttft),
        ("inter_token_latency_seconds", metrics.itl),
        ("time_per_output_token_seconds", metrics.itl),
        ("e2e_request_latency_seconds", metrics.duration),
        ("request_queue_time_seconds", metrics.queue),
        ("request_prefill_time_seconds", metrics.prefill),
        ("request_decode_time_seconds", metrics.decode),
        ("iteration_tokens_total", metrics.step_tokens),
    ]:
        samples = {
            sample.name.rpartition("_")[2] + sample.labels.get("le", ""): sample.value
            for [family] in [ours.collect()]
            for sample in family.samples
        }
        assert samples["count"] == 1
        for suffix, expected in samples.items():
            kind, bound = re.fullmatch(r"(bucket|sum|count)(.*)", suffix).groups()
            assert value(f"{name}_{kind}", **({"le": bound} if bound else {})) == expected


def test_lengths_and_finish_reasons(metrics, value):
    metrics.request_finished(DONE)
    metrics.request_finished(dataclasses.replace(DONE, finish_reasons=(FinishReason.LENGTH,)))
    metrics.request_finished(dataclasses.replace(DONE, outcome="aborted", finish_reasons=()))
    metrics.request_finished(dataclasses.replace(DONE, outcome="error", finish_reasons=()))
    metrics.request_finished(REFUSED)
    ended = {reason: value("request_success_total", finished_reason=reason) for reason in ("stop", "length", "abort", "error")}
    assert ended == {"stop": 1, "length": 1, "abort": 1, "error": 1}
    assert (value("request_prompt_tokens_sum"), value("request_prompt_tokens_count")) == (400, 4)
    assert value("request_generation_tokens_sum") == value("request_max_num_generation_tokens_sum") == 28


@pytest.mark.parametrize(
    ("cache", "usage"),
    [
        (PAGED_CACHE, 6 / 16),  # what is kept for later is free for the taking
        (CACHE, 5 / 1000),  # whole prompts: by bytes
        (CacheFigures(bytes_used=9, limit_bytes=3), 1),
        (CacheFigures(), 0),
    ],
)
def test_the_share_of_the_cache_that_is_in_use(statuses, value, cache, usage):
    statuses[:] = [with_cache(cache)]
    assert value("kv_cache_usage_perc") == value("gpu_cache_usage_perc") == pytest.approx(usage)


def test_load_is_there_as_soon_as_there_is_a_worker(statuses, value):
    statuses[:] = [model_status(pid=42, ready=READY, running=3, waiting=4)]
    assert (value("num_requests_running"), value("num_requests_waiting")) == (3, 4)
    assert value("kv_cache_usage_perc") is None


def test_gauges_of_a_model_without_worker_go_and_its_counters_stay(metrics, statuses, value):
    metrics.request_finished(DONE)
    statuses[:] = [running_status(state=ModelState.STOPPED)]
    assert value("num_requests_running") is None
    statuses.clear()
    assert value("num_requests_running") is None
    assert value("request_generation_tokens_sum") == 7
    metrics.add_models(["tiny"])
    assert value("request_generation_tokens_sum") == 7


def test_only_models_are_models(metrics):
    for code in CODES:
        metrics.request_rejected(UNKNOWN_MODEL, code)
    metrics.request_finished(dataclasses.replace(DONE, model="evil"))
    names = {sample.labels["model_name"] for family in metrics.vllm.registry.collect() for sample in family.samples}
    assert names == {"tiny"}


def test_an_ordinary_request_makes_no_new_series(metrics):
    def series():
        return {(sample.name, *sorted(sample.labels.items())) for family in metrics.vllm.registry.collect() for sample in family.samples}

    before = series()
    metrics.request_finished(DONE)
    metrics.step("tiny", StepStats(seconds=1, tokens=1, rows=1, inter_token=1))
    assert series() == before


def test_no_histogram_has_more_than_16_buckets(metrics):
    for family in metrics.vllm.registry.collect():
        bounds = {sample.labels["le"] for sample in family.samples if "le" in sample.labels}
        assert len(bounds - {"+Inf"}) <= 16
