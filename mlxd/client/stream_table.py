"""The open requests of one worker, by id: who gets an event, how many run and wait, when none is left."""

import asyncio
from collections.abc import Callable

from mlxd.client.worker_client import RequestStream
from mlxd.errors import MlxdError
from mlxd.wire.events import RequestEvent


class StreamTable:
    """A table of streams. Each is in here from ``open`` until its end; an aborted one leaves at once.

    ``send_abort`` tells the worker, with the request's id.
    """

    def __init__(self, send_abort: Callable[[str], None]) -> None:
        self._send_abort = send_abort
        self._streams: dict[str, RequestStream] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._streams

    def open(self, request_id: str) -> RequestStream:
        """Opens a new stream, whose id must not be in use."""
        stream = RequestStream(request_id, self._abort)
        self._streams[request_id] = stream
        self._idle.clear()
        return stream

    def push(self, event: RequestEvent) -> None:
        """Hands an event to its stream. One for an unknown id crossed with an abort, and is dropped."""
        stream = self._streams.get(event.id)
        if stream is None:
            return
        stream.push(event)
        if stream.done:
            self._close(event.id)

    def fail_all(self, error: Callable[[], MlxdError]) -> None:
        """Ends every stream, each with an error of its own (a raised one carries a traceback)."""
        for request_id, stream in list(self._streams.items()):
            stream.fail(error())
            self._close(request_id)

    @property
    def running(self) -> int:
        """Returns how many streams have a request that has left the queue."""
        return sum(stream.started for stream in self._streams.values())

    @property
    def waiting(self) -> int:
        """Returns how many streams have a request that has not left the queue."""
        return len(self._streams) - self.running

    async def wait_idle(self) -> None:
        """Waits until no stream is open."""
        await self._idle.wait()

    def _abort(self, request_id: str) -> None:
        self._close(request_id)
        self._send_abort(request_id)

    def _close(self, request_id: str) -> None:
        self._streams.pop(request_id, None)
        if not self._streams:
            self._idle.set()
