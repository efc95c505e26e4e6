"""mlxd_encoded_tokens_total, mlxd_request_texts, mlxd_step_texts: what models that encode are asked, and how much of it goes together."""

import dataclasses
from functools import partial
from math import inf

import pytest

from mlxd.control.memory.ledger import Ledger
from mlxd.control.telemetry import RequestRecord
from mlxd.observability.metrics import Metrics
from mlxd.types import Timings
from mlxd.wire.messages import StepStats

ENCODED = RequestRecord(
    request_id="r",
    model="mini",
    endpoint="embeddings",
    outcome="ok",
    duration=2.0,
    prompt_tokens=900,
    cached_tokens=0,
    timings=Timings(queue=0.5, prefill=1.5, decode=0.0),
    texts=100,
)


@pytest.fixture
def metrics():
    made = Metrics(list, Ledger(1000))
    made.add_models(["mini"])
    return made


@pytest.fixture
def value(metrics):
    return lambda name, **labels: metrics.registry.get_sample_value(f"mlxd_{name}", {"model": "mini"} | labels)


def test_a_request_counts_by_endpoint_with_its_texts(metrics, value):
    metrics.request_finished(ENCODED)
    assert value("requests_total", endpoint="embeddings", outcome="ok") == 1
    assert (value("request_texts_count"), value("request_texts_sum")) == (1, 100)
    assert [value(f"request_{phase}_seconds_sum") for phase in ("queue", "prefill", "duration")] == [0.5, 1.5, 2.0]


def test_it_has_no_first_token_no_output_and_nothing_of_a_prefix_cache(metrics, value):
    metrics.request_finished(ENCODED)
    counts = [value(f"{name}_seconds_count") for name in ("time_to_first_token", "inter_token_latency", "request_decode")]
    assert counts == [0, 0, 0]
    assert [value("prompt_tokens_total", source=source) for source in ("computed", "cached")] == [0, 0]
    assert value("prefix_cache_query_tokens_total") == 0


def test_a_request_that_was_refused_has_no_texts_that_anybody_encoded(metrics, value):
    metrics.request_finished(RequestRecord(request_id="r", model="mini", endpoint="rerank", outcome="client_error", duration=0.1))
    assert value("request_texts_count") == 0


def test_a_step_counts_its_texts_and_their_tokens_and_no_sequences(metrics, value):
    metrics.step("mini", StepStats(seconds=0.1, tokens=640, rows=40, prompt_tokens=640, texts=40))
    assert value("encoded_tokens_total") == 640
    assert (value("step_texts_count"), value("step_texts_sum")) == (1, 40)
    assert (value("step_texts_bucket", le="32.0"), value("step_texts_bucket", le="64.0")) == (0, 1)
    assert (value("step_tokens_sum"), value("step_seconds_count"), value("batch_size_count")) == (640, 1, 0)


def test_a_step_that_generates_has_no_texts(metrics, value):
    metrics.step("mini", StepStats(seconds=0.1, tokens=8, rows=3, prompt_tokens=5))
    assert (value("encoded_tokens_total"), value("step_texts_count"), value("batch_size_count")) == (0, 0, 1)


def test_they_begin_at_0_and_have_few_buckets(value, metrics):
    assert [value(name) for name in ("encoded_tokens_total", "request_texts_count", "step_texts_count")] == [0, 0, 0]
    bounds = {sample.labels["le"] for sample in next(iter(metrics.encoding.request_texts.collect())).samples if "le" in sample.labels}
    assert {float(bound) for bound in bounds} == {*(2.0**power for power in range(14)), inf}


def test_vllm_s_prompt_tokens_are_those_of_texts_too(metrics):
    metrics.request_finished(ENCODED)
    metrics.step("mini", StepStats(seconds=0.1, tokens=640, rows=40, prompt_tokens=640, texts=40))
    answered = dataclasses.replace(ENCODED, texts=None, endpoint="completions", prompt_tokens=7, completion_tokens=3)
    metrics.request_finished(answered)
    read = partial(metrics.vllm.registry.get_sample_value, labels={"model_name": "mini", "engine": "0"})
    assert (read("vllm:prompt_tokens_total"), read("vllm:request_prompt_tokens_sum")) == (647, 907)
    assert (read("vllm:request_generation_tokens_count"), read("vllm:request_generation_tokens_sum")) == (1, 3)
