"""Traces: one span for each request, with a child for each phase of its life, to an OpenTelemetry collector.

Off by default, and then nothing of OpenTelemetry is imported. Spans are made when a request is over, from the same record that is
counted and logged, and sent by a thread of OpenTelemetry's: no request waits for a collector, and one that is away costs its spans.
"""

import asyncio
import threading
from typing import Protocol

from mlxd.config.schema import TracingTable
from mlxd.control.telemetry import RequestRecord
from mlxd.observability.harmless import harmless

_STOP_TIMEOUT = 3.0  # seconds that the last spans may take to be sent


class SpanSink(Protocol):
    """Where spans go while tracing is on."""

    def request_finished(self, record: RequestRecord) -> str | None:
        """See ``Tracer``."""

    def close(self) -> None:
        """Send what is left. Blocks, for as long as the collector keeps it waiting."""


class Tracing:
    """Implements ``control.telemetry.Tracer``, by whatever ``[tracing]`` says now."""

    def __init__(self) -> None:
        self._table = TracingTable()
        self._sink: SpanSink | None = None

    async def prepare(self, table: TracingTable) -> None:
        """Before a reload: load what ``table`` needs, off the event loop, so that ``configure`` has it at hand."""
        if table.enabled and self._sink is None:
            await asyncio.to_thread(lambda: _make_sink(table).close())

    def configure(self, table: TracingTable) -> None:
        """Take over ``table``, at start and at each reload. Spans of requests that are over go where they were to go."""
        if table != self._table:
            before, self._table = self._sink, table
            self._sink = _make_sink(table) if table.enabled else None
            if before is not None:
                _in_background(before)

    @harmless
    def request_finished(self, record: RequestRecord) -> str | None:
        """The id of the request's trace; None where it is in none, or where that failed."""
        return None if self._sink is None else self._sink.request_finished(record)

    async def stop(self) -> None:
        """Send what is left, if that can be done soon."""
        sink, self._sink, self._table = self._sink, None, TracingTable()
        if sink is not None:
            await asyncio.wait([_in_background(sink)], timeout=_STOP_TIMEOUT)


def _make_sink(table: TracingTable) -> SpanSink:
    from mlxd.observability.otlp import OtlpSpans  # noqa: PLC0415 - of an extra, which nobody needs who does not trace

    return OtlpSpans(table)


def _in_background(sink: SpanSink) -> asyncio.Future[None]:
    """Close it in a thread that keeps nobody from ending."""
    loop = asyncio.get_running_loop()
    closed = loop.create_future()

    def tell() -> None:
        if not closed.done():
            closed.set_result(None)

    def close() -> None:
        sink.close()
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=close, name="tracing_close", daemon=True).start()
    return closed
