"""Spans of requests, from the HTTP request to a collector that takes OTLP: everything is real but the worker."""

import asyncio
import json
import logging
import re
import time
from pathlib import Path

import msgspec
import pytest
import structlog
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai

from mlxd.config.schema import TracingTable
from mlxd.errors import GenerationError
from mlxd.observability import otlp
from mlxd.observability.otlp import Rarely
from mlxd.types import CacheOutcome
from tests.support.fake_registry import echo
from tests.support.statuses import EMBEDS
from tests.support.trace_collector import TraceCollector
from tests.unit.api.conftest import HELLO

ROOT = Path(__file__).parents[3]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


@pytest.fixture
def collector():
    with TraceCollector() as running:
        yield running


def table(collector, **settings):
    return TracingTable(enabled=True, endpoint=collector.endpoint, **settings)


@pytest.fixture
async def traced(server, collector):
    """The server, with tracing on; and what it sends when it stops."""
    server.tracing.configure(table(collector))
    yield server
    await server.tracing.stop()


async def spans_of(server, collector, body=HELLO, path="/v1/chat/completions", **options):
    """Of one request, the phases in the order of their beginning."""
    async with server.post(body, path, **options) as response:
        await response.read()
    await server.telemetry.next_record()
    await server.tracing.stop()
    root, *phases = sorted(collector.spans, key=lambda span: (span.parent_id in {other.span_id for other in collector.spans}, span.begin))
    return root, phases


async def test_a_request_in_the_words_of_the_conventions(traced, collector):
    traced.worker.script = echo
    before = time.time()
    root, phases = await spans_of(traced, collector, HELLO | {"model": "small", "temperature": 0.5, "max_tokens": 9, "seed": 3})
    assert (root.name, root.kind, root.parent_id, root.status) == ("chat small", Span.SPAN_KIND_SERVER, "", Status.STATUS_CODE_UNSET)
    assert before <= root.begin <= root.end <= time.time()
    response_id = root.attributes.pop(gen_ai.GEN_AI_RESPONSE_ID)
    request_id = root.attributes.pop("mlxd.request_id")
    assert response_id.startswith("chatcmpl-")
    assert request_id.startswith("req_")
    assert root.attributes == {
        gen_ai.GEN_AI_OPERATION_NAME: gen_ai.GenAiOperationNameValues.CHAT.value,
        gen_ai.GEN_AI_PROVIDER_NAME: "mlxd",
        "mlxd.key": "anonymous",
        gen_ai.GEN_AI_REQUEST_MODEL: "small",
        gen_ai.GEN_AI_RESPONSE_MODEL: "tiny",
        gen_ai.GEN_AI_REQUEST_TEMPERATURE: 0.5,
        gen_ai.GEN_AI_REQUEST_TOP_P: 1.0,
        gen_ai.GEN_AI_REQUEST_MAX_TOKENS: 9,
        gen_ai.GEN_AI_REQUEST_SEED: 3,
        gen_ai.GEN_AI_REQUEST_STREAM: False,
        gen_ai.GEN_AI_USAGE_INPUT_TOKENS: 7,
        gen_ai.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: 0,
        gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS: 2,
        gen_ai.GEN_AI_RESPONSE_FINISH_REASONS: ["stop"],
        "server.address": "127.0.0.1",
        "server.port": traced.port,
        "mlxd.cache": "miss",
        "mlxd.outcome": "ok",
    }
    assert root.resource["service.name"] == "mlxd"
    assert [(phase.name, phase.parent_id, phase.trace_id) for phase in phases] == [
        (name, root.span_id, root.trace_id) for name in ("queue", "prefill", "decode")
    ]
    assert [phase.duration for phase in phases] == pytest.approx([0.1, 0.2, 0.3], abs=1e-3), "as the worker measured them"


async def test_vectors_are_no_answers(traced, collector):
    vectors = traced.registry.add("vectors")
    vectors.ready = msgspec.structs.replace(EMBEDS, limits=vectors.ready.limits)
    vectors.client.script = embed
    root, phases = await spans_of(traced, collector, {"model": "vectors", "input": ["a", "b"]}, "/v1/embeddings")
    assert (root.name, root.attributes[gen_ai.GEN_AI_OPERATION_NAME]) == ("embeddings vectors", "embeddings")
    assert (root.attributes["mlxd.texts"], root.attributes[gen_ai.GEN_AI_USAGE_INPUT_TOKENS]) == (2, 7)
    assert not {gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS, gen_ai.GEN_AI_RESPONSE_FINISH_REASONS, "mlxd.cache"} & root.attributes.keys()
    assert [phase.name for phase in phases] == ["queue", "prefill"]


def embed(request):
    request.started(cache=None)
    request.embedded({0: bytes(4 * 384), 1: bytes(4 * 384)})
    request.finish()


async def test_a_streamed_completion(traced, collector):
    traced.worker.script = echo
    root, _ = await spans_of(traced, collector, {"model": "tiny", "prompt": "hello", "stream": True}, "/v1/completions")
    assert root.name == "text_completion tiny"
    assert root.attributes[gen_ai.GEN_AI_REQUEST_STREAM] is True
    assert 0 <= root.attributes["gen_ai.response.time_to_first_chunk"] <= root.duration
    assert root.attributes[gen_ai.GEN_AI_REQUEST_TEMPERATURE] == 1.0, "the model's default, which held"


async def test_the_client_s_trace_goes_on(traced, collector):
    traced.worker.script = echo
    root, phases = await spans_of(traced, collector, headers={"traceparent": SAMPLED, "tracestate": "vendor=1"})
    assert (root.trace_id, root.parent_id) == (TRACE, PARENT)
    assert {phase.trace_id for phase in phases} == {TRACE}


@pytest.mark.parametrize("header", ["nonsense", f"00-{'0' * 32}-{PARENT}-01", f"{SAMPLED},{SAMPLED}", "é"])
async def test_a_header_that_is_none_begins_a_trace(traced, collector, header):
    traced.worker.script = echo
    root, _ = await spans_of(traced, collector, headers={"traceparent": header})
    assert root.trace_id != TRACE
    assert root.parent_id == ""


async def test_the_log_names_the_trace(traced, collector):
    traced.worker.script = echo
    with structlog.testing.capture_logs() as logs:
        await traced.answer(HELLO, headers={"traceparent": SAMPLED})
        await traced.answer(HELLO, headers={"traceparent": NOT_SAMPLED})
    events = [entry for entry in logs if entry["event"] == "request_finished"]
    assert [event.get("trace_id") for event in events] == [TRACE, None]


@pytest.mark.parametrize(("ratio", "header", "sent"), [(0.0, None, 0), (0.0, SAMPLED, 4), (1.0, NOT_SAMPLED, 0), (1.0, None, 4)])
async def test_who_is_sampled(server, collector, ratio, header, sent):
    server.worker.script = echo
    server.tracing.configure(table(collector, sample_ratio=ratio))
    await server.answer(HELLO, headers={"traceparent": header} if header else {})
    await server.telemetry.next_record()
    await server.tracing.stop()
    assert len(collector.spans) == sent


async def test_content_is_in_no_span(traced, collector):
    traced.worker.script = echo
    traced.log_content()  # which is for the log alone
    await spans_of(traced, collector, HELLO | {"messages": [{"role": "user", "content": "tell-nobody"}], "stop": ["unheard"]})
    assert collector.bodies
    assert not any(word in body for body in collector.bodies for word in (b"tell-nobody", b"unheard"))


async def test_a_refused_request_is_no_failure_of_ours(traced, collector):
    root, phases = await spans_of(traced, collector, HELLO | {"temperature": 9})
    assert (root.status, root.attributes["error.type"], root.attributes["mlxd.outcome"]) == (
        Status.STATUS_CODE_UNSET,
        "invalid_request",
        "client_error",
    )
    assert phases == []
    assert gen_ai.GEN_AI_USAGE_INPUT_TOKENS not in root.attributes


async def test_a_model_that_is_not_ours_is_not_repeated(traced, collector):
    root, _ = await spans_of(traced, collector, HELLO | {"model": "tell-nobody"})
    assert root.name == "chat"
    assert "tell-nobody" not in json.dumps(root.attributes)


async def test_a_failure_half_way_says_how_far_it_came(traced, collector):
    def script(request):
        request.started(cache=CacheOutcome.PREFIX_HIT, cached_tokens=4)
        request.delta("some")
        request.lose(GenerationError("the worker is gone"))

    traced.worker.script = script
    root, phases = await spans_of(traced, collector)
    assert (root.status, root.attributes["error.type"]) == (Status.STATUS_CODE_ERROR, "generation_failed")
    assert (root.attributes[gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS], root.attributes["mlxd.cache"]) == (1, "prefix_hit")
    assert [phase.name for phase in phases] == ["queue", "prefill", "decode"]
    assert all(root.begin <= phase.begin <= phase.end <= root.end for phase in phases)


async def test_a_client_that_left_while_waiting(traced, collector):
    async with traced.raw() as (_, writer):
        writer.write(traced.raw_post(HELLO))
        await traced.worker.next_request()
    await traced.telemetry.next_record()
    await traced.tracing.stop()
    assert sorted(span.name for span in collector.spans) == ["chat tiny", "queue"]
    assert {span.attributes.get("mlxd.outcome") for span in collector.spans} == {"aborted", None}


async def test_a_collector_that_does_not_answer_keeps_nobody_waiting(traced, collector):
    traced.worker.script = echo
    collector.answering.clear()
    for _ in range(600):  # more than one batch, so that the exporter is busy with the first
        await traced.answer(HELLO)
        if collector.asked.is_set():
            break
    assert (await traced.answer(HELLO))[0] == 200
    collector.answering.set()


async def test_a_collector_that_is_away_costs_its_spans_and_a_line_in_the_log(server, caplog):
    server.worker.script = echo
    server.tracing.configure(TracingTable(enabled=True, endpoint="http://127.0.0.1:9/v1/traces"))
    assert (await server.answer(HELLO))[0] == 200
    await server.tracing.stop()
    assert len([record for record in caplog.records if record.name.startswith("opentelemetry.exporter")]) <= 1


def test_lines_that_come_again_and_again_pass_rarely():
    rarely, line = Rarely(60.0), logging.makeLogRecord({"msg": "away"})
    passed = []
    for line.created in (1000.0, 1000.1, 1059.9, 1060.0, 1061.0):
        passed.append(rarely.filter(line))
    assert passed == [True, False, False, True, False]


async def test_preparing_a_reload_changes_nothing(server, collector):
    server.worker.script = echo
    await server.tracing.prepare(table(collector))
    await server.answer(HELLO)
    await server.telemetry.next_record()
    await server.tracing.stop()
    assert collector.spans == []


async def test_reloads(server, collector):
    server.worker.script = echo

    async def ask():
        await server.answer(HELLO)
        await server.telemetry.next_record()

    await ask()  # off by default
    server.tracing.configure(table(collector, service_name="one"))
    await ask()
    server.tracing.configure(table(collector, service_name="one"))  # the same
    await ask()
    server.tracing.configure(table(collector, service_name="two"))
    await ask()
    server.tracing.configure(TracingTable())
    await ask()
    names = [span.resource["service.name"] for span in await asyncio.to_thread(collector.wait_for, 12)]
    assert sorted(names) == ["one"] * 8 + ["two"] * 4


def test_the_page_has_every_attribute():
    page = (ROOT / "docs" / "traces.md").read_text()
    documented = set()
    for cell in re.findall(r"^\| (`[\w.`, ]+) \|", page, re.MULTILINE):
        first, *others = re.findall(r"`([\w.]+)`", cell)
        documented |= {first, *(first.rpartition(".")[0] + name if name[0] == "." else name for name in others)}
    source = Path(otlp.__file__).read_text()
    assert documented == set(re.findall(r'"((?:gen_ai|mlxd|server|error)\.\w[\w.]*)"', source))
