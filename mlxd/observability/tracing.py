"""Traces: one span for each request, with a child for each phase of its life, to an OpenTelemetry collector.

Off by default, and then nothing of OpenTelemetry is imported. Spans are made when a request is over, from the same record that is
counted and logged, and sent by a thread of OpenTelemetry's: no request waits for a collector, and one that is away costs its spans.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Protocol

from mlxd.config.schema import TracingTable
from mlxd.control.telemetry import RequestRecord
from mlxd.observability.harmless import harmless

_STOP_TIMEOUT = 3.0  # seconds that the last spans may take to be sent


class SpanSink(Protocol):
    """The place where spans go while tracing is on."""

    def request_finished(self, record: RequestRecord) -> str | None:
        """Makes the spans of a request that is over, and answers as ``Tracer`` says."""

    def close(self) -> None:
        """Sends what is left. It blocks for as long as the collector keeps it waiting."""


@dataclass(frozen=True)
class PreparedTracing:
    """A table, and where spans go by it, ready to take over."""

    owner: Tracing
    table: TracingTable
    sink: SpanSink | None

    def discard(self) -> None:
        """Sends what is left and closes the sink, where spans do not go there now."""
        if self.sink is not None and not self.owner.is_in_use(self.sink):
            _in_background(self.sink)


class Tracing:
    """A ``control.telemetry.Tracer`` that does whatever ``[tracing]`` says now."""

    def __init__(self) -> None:
        self._table = TracingTable()
        self._sink: SpanSink | None = None

    async def prepare(self, table: TracingTable) -> PreparedTracing:
        """Does everything that can fail of a change to ``table``, off the event loop, for ``swap``."""
        if table == self._table:
            return self.current()
        return PreparedTracing(self, table, await asyncio.to_thread(_make_sink, table) if table.enabled else None)

    def current(self) -> PreparedTracing:
        """Returns what is in force, to be put back by ``swap``."""
        return PreparedTracing(self, self._table, self._sink)

    def swap(self, prepared: PreparedTracing) -> None:
        """Sends spans there from now on. Where they went before is its caller's to discard."""
        self._table, self._sink = prepared.table, prepared.sink

    def configure(self, table: TracingTable) -> None:
        """Takes over ``table`` at once. Spans of requests that are over go where they were to go."""
        if table != self._table:
            before = self.current()
            self._table, self._sink = table, _make_sink(table) if table.enabled else None
            before.discard()

    def is_in_use(self, sink: SpanSink) -> bool:
        """Tells whether spans go there now."""
        return self._sink is sink

    @harmless
    def request_finished(self, record: RequestRecord) -> str | None:
        """Returns the id of the request's trace; None where it is in none, or where that failed."""
        return None if self._sink is None else self._sink.request_finished(record)

    async def stop(self) -> None:
        """Sends what is left, if that can be done soon."""
        sink, self._sink, self._table = self._sink, None, TracingTable()
        if sink is not None:
            await asyncio.wait([_in_background(sink)], timeout=_STOP_TIMEOUT)


def _make_sink(table: TracingTable) -> SpanSink:
    from mlxd.observability.otlp import OtlpSpans  # noqa: PLC0415 - of an extra, which nobody needs who does not trace

    return OtlpSpans(table)


def _in_background(sink: SpanSink) -> asyncio.Future[None]:
    """Closes the sink in a thread that keeps nobody from ending."""
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
