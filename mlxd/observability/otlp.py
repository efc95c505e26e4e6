"""Spans of requests, in the words of OpenTelemetry's conventions for generative AI, sent by OTLP over HTTP.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. What they would call the content (prompts, completions) is never in a
span. It belongs to an extra, ``mlxd[tracing]``: import this module where tracing is on only.
"""

import logging
from collections.abc import Iterator

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from mlxd import __version__
from mlxd.config.schema import TracingTable
from mlxd.control.telemetry import RequestRecord

_EXPORT_TIMEOUT = 5.0  # seconds for one batch, attempts included
_OPERATIONS = dict.fromkeys(("chat_completions", "messages", "responses"), "chat") | {"completions": "text_completion"}
_PROVIDER = "mlxd"


class Rarely(logging.Filter):
    """A filter that lets one line pass in ``interval`` seconds."""

    def __init__(self, interval: float) -> None:
        super().__init__()
        self._interval = interval
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Tells whether it is time for a line."""
        if record.created < self._next:
            return False
        self._next = record.created + self._interval
        return True


# The exporter speaks of every attempt, several in a second; that a collector is away is worth a line a minute.
logging.getLogger(trace_exporter.__name__).addFilter(Rarely(60.0))


class OtlpSpans:
    """An OTLP exporter that implements ``tracing.SpanSink``. What the file does not say (headers, certificates), ``OTEL_EXPORTER_OTLP_*``
    may.
    """

    def __init__(self, table: TracingTable) -> None:
        exporter = trace_exporter.OTLPSpanExporter(endpoint=table.endpoint, timeout=_EXPORT_TIMEOUT)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(table.sample_ratio)),
            resource=Resource.create({"service.name": table.service_name, "service.version": __version__}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("mlxd", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def request_finished(self, record: RequestRecord) -> str | None:
        """Makes the spans as ``Tracer`` says. A client that is traced says whether this is; ``sample_ratio`` is for the others."""
        parent = self._propagator.extract(record.caller.trace_context, context=Context())
        attributes = dict(_request_attributes(record))
        span = self._tracer.start_span(
            _name(record), parent, kind=SpanKind.SERVER, attributes=attributes, start_time=_nanoseconds(record, 0.0)
        )
        if span.is_recording():
            self._describe_end(span, record)
        return format_trace_id(span.get_span_context().trace_id) if span.get_span_context().trace_flags.sampled else None

    def _describe_end(self, span: Span, record: RequestRecord) -> None:
        for name, value in _response_attributes(record):
            span.set_attribute(name, value)
        if record.outcome == "error":  # a mistake of the client's is no failure of a server
            span.set_status(Status(StatusCode.ERROR, record.error))
        around = set_span_in_context(span, Context())
        for phase in record.phases:
            child = self._tracer.start_span(phase.name, around, start_time=_nanoseconds(record, phase.begin))
            child.end(_nanoseconds(record, phase.end))
        span.end(_nanoseconds(record, record.duration))

    def close(self) -> None:
        self._provider.shutdown()


def _name(record: RequestRecord) -> str:
    operation = _operation(record)
    return operation if record.requested_model is None else f"{operation} {record.requested_model}"


def _operation(record: RequestRecord) -> str:
    return _OPERATIONS.get(record.endpoint, record.endpoint)


def _request_attributes(record: RequestRecord) -> Iterator[tuple[str, AttributeValue]]:
    """Yields the attributes that a sampler may look at."""
    yield "gen_ai.operation.name", _operation(record)
    yield "gen_ai.provider.name", _PROVIDER
    yield "gen_ai.request.stream", record.streamed
    yield "mlxd.request_id", record.request_id
    yield "mlxd.key", record.caller.key  # its name
    optional: dict[str, AttributeValue | None] = {
        "gen_ai.request.model": record.requested_model,
        "gen_ai.request.max_tokens": record.max_tokens,
        "gen_ai.request.choice.count": record.choices if record.choices != 1 else None,
        "server.address": record.caller.address,
        "server.port": record.caller.port,
    }
    if record.sampling is not None:
        optional |= {
            "gen_ai.request.temperature": record.sampling.temperature,
            "gen_ai.request.top_p": record.sampling.top_p,
            "gen_ai.request.seed": record.sampling.seed,
        }
    yield from ((name, value) for name, value in optional.items() if value is not None)


def _response_attributes(record: RequestRecord) -> Iterator[tuple[str, AttributeValue]]:
    yield "mlxd.outcome", record.outcome
    encodes = record.texts is not None
    optional: dict[str, AttributeValue | None] = {
        "error.type": record.error,
        "gen_ai.response.id": record.response_id,
        "gen_ai.response.finish_reasons": None if encodes else tuple(reason.value for reason in record.finish_reasons) or None,
        "gen_ai.response.time_to_first_chunk": record.time_to_first_token if record.streamed else None,
        "mlxd.cache": record.cache and record.cache.value,
        "mlxd.adapter": record.adapter or None,
        "mlxd.texts": record.texts,
    }
    if record.requested_model is not None:
        optional["gen_ai.response.model"] = record.model
    if record.prompt_tokens is not None:
        optional["gen_ai.usage.input_tokens"] = record.prompt_tokens
        if not encodes:
            optional |= {
                "gen_ai.usage.cache_read.input_tokens": record.cached_tokens,
                "gen_ai.usage.output_tokens": record.completion_tokens,
            }
    yield from ((name, value) for name, value in optional.items() if value is not None)


def _nanoseconds(record: RequestRecord, age: float) -> int:
    """Returns the Unix time in nanoseconds of a moment ``age`` seconds after the request arrived."""
    return int((record.arrived + age) * 1e9)
