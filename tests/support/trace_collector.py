"""A collector of traces: OTLP over HTTP on a free port of loopback, in a thread; what it got can be asked."""

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.patience import PATIENCE


@dataclass(frozen=True)
class Got:
    """A span as it came."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str  # empty: it has none
    kind: int
    begin: float  # Unix time
    end: float
    status: int
    attributes: dict
    resource: dict

    @property
    def duration(self):
        return self.end - self.begin


class TraceCollector:
    """``with TraceCollector() as collector``. While ``answering`` is not set, it keeps exporters waiting."""

    def __init__(self):
        self.spans = []
        self.bodies = []  # as they came
        self.answering = threading.Event()
        self.answering.set()
        self.asked = threading.Event()  # somebody has sent something
        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.answering.set()
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, count):
        """The spans, once there are so many."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.spans) >= count, PATIENCE), f"{len(self.spans)} spans of {count}"
            return list(self.spans)

    def _take(self, body):
        request = ExportTraceServiceRequest.FromString(body)
        with self._arrived:
            self.bodies.append(body)
            for group in request.resource_spans:
                resource = values(group.resource.attributes)
                self.spans += [got(span, resource) for scope in group.scope_spans for span in scope.spans]
            self._arrived.notify_all()

    def _handler(self):
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.asked.set()
                collector.answering.wait(PATIENCE)
                if self.path == "/v1/traces":
                    collector._take(body)
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                """Quiet."""

        return Handler


def got(span, resource):
    return Got(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.kind,
        begin=span.start_time_unix_nano / 1e9,
        end=span.end_time_unix_nano / 1e9,
        status=span.status.code,
        attributes=values(span.attributes),
        resource=resource,
    )


def values(attributes):
    return {each.key: plain(each.value) for each in attributes}


def plain(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(each) for each in value.array_value.values]
    return getattr(value, kind)
