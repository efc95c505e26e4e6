"""One accepted connection, and all that are open now: malformed HTTP, clients that do not read, and listeners that have closed."""

import asyncio
import select
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from typing_extensions import override

from mlxd.errors import InvalidRequestError
from mlxd.listener.errors import error_response, internal_error
from mlxd.listener.peer import unsent_bytes
from mlxd.listener.request_id import HEADER, request_id

_log = structlog.get_logger(__name__)

# auto_decompress: bodies come as they were sent, for ``encoding.py`` refuses what aiohttp would take for plain text
# keepalive_timeout: seconds a connection may be idle, before its first request or between two
_OPTIONS: dict[str, Any] = {"access_log": None, "keepalive_timeout": 75.0, "auto_decompress": False}
_LAST_BYTES = 1.0  # seconds


class OpenConnections:
    """The open connections of one listening address."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._retired = False

    def __iter__(self) -> "Iterator[Connection]":
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)

    def accept(self, server: web.Server) -> "Connection":
        """Returns the protocol of one more connection."""
        return Connection(self, server)

    def retire(self) -> None:
        """Closes the connections that are idle between two requests; the others finish the request they are at, or that they were
        opened for, and no further one.
        """
        self._retired = True
        for connection in list(self._open):
            connection.retire()

    def add(self, connection: "Connection") -> None:
        """Takes note that the connection is open now."""
        self._open.add(connection)
        connection.retiring = self._retired

    def discard(self, connection: "Connection") -> None:
        """Takes note that the connection is closed."""
        self._open.discard(connection)


class Connection(web.RequestHandler):
    """aiohttp's connection, whose own errors (malformed HTTP above all) have our shape."""

    retiring = False  # its listener has closed: after the request it is at, it closes too

    def __init__(self, siblings: OpenConnections, server: web.Server) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **_OPTIONS)
        self._siblings = siblings
        self._wire: asyncio.Transport | None = None  # also while it closes, when ``transport`` is None already
        self._socket: socket.socket | None = None
        self._unsent = 0  # bytes, when it was looked at last
        self._has_moved = False  # the client has read since
        self._is_deaf = False  # what comes now is no HTTP, and nobody looks at it

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wire = cast("asyncio.Transport", transport)
        self._socket = transport.get_extra_info("socket")
        self._siblings.add(self)

    @override
    def data_received(self, data: bytes) -> None:
        if not self._is_deaf:
            super().data_received(data)

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._siblings.discard(self)

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._has_moved = True

    @override
    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        finished = await super().finish_response(request, resp, start_time)
        if self.retiring:
            resp.force_close()  # of a stream whose headers were out before
        if self._is_deaf:
            await self._hang_up()
        return finished

    async def _hang_up(self) -> None:
        """Says that nothing more comes, and goes on taking what the client sends for a moment: to close with bytes unread is to reset the
        connection, and the client would never see why.
        """
        if self._wire is not None and self._wire.can_write_eof() and not self._wire.is_closing():
            self._wire.write_eof()
            await asyncio.sleep(_LAST_BYTES)

    def retire(self) -> None:
        """Closes the connection, whose listener has closed, unless a request is under way, waiting, or still to come as the first."""
        self.retiring = True
        if self._request_count and not self._request_in_progress and not self._has_request_waiting():
            self.force_close()

    def _not_taken(self) -> int:
        """Returns how many bytes the client's end of the connection has not taken: here, and in the system."""
        if self._wire is None or self._socket is None or self._socket.fileno() < 0:
            return 0
        with suppress(AttributeError):  # one of asyncio's that speaks TLS forgets itself when it is closed twice
            return self._wire.get_write_buffer_size() + unsent_bytes(self._socket)
        return unsent_bytes(self._socket)

    def _has_request_waiting(self) -> bool:
        """Tells whether the system has received anything that was not read from it yet."""
        return self._socket is not None and self._socket.fileno() >= 0 and _is_readable(self._socket.fileno())

    def is_read(self) -> bool:
        """Tells whether the client has taken anything since this was asked last, or there is nothing to take."""
        before, self._unsent = self._unsent, self._not_taken()
        moved, self._has_moved = self._has_moved, False
        return moved or not self._unsent or self._unsent < before

    def cut_off(self) -> None:
        """Drops the connection, and whatever its client did not read."""
        if self._wire is not None:
            with suppress(AttributeError):  # as above: its own time-out ends it
                self._wire.abort()

    @override
    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun; no other can be sent")
        if status < 500:  # the parser refused it; a scanner's noise is no event of ours
            reason = _reason(message, exc)
            _log.debug("request_malformed", request_id=request_id(request), reason=reason)
            self._is_deaf = True
            response = error_response(InvalidRequestError(f"malformed HTTP request: {reason}"))
        else:
            if not isinstance(exc, ConnectionError):  # that is a client that left before its answer began
                _log.error("request_crashed", exc_info=exc)
            response = error_response(internal_error())
        response.headers["Connection"] = "close"
        response.headers[HEADER] = request_id(request)
        response.force_close()
        return response

    @override
    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Leaves out a broken body, which is met a second time when aiohttp skips the rest of it; the client has been told already."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()  # to ``select``, descriptors end at 1023
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _reason(message: str | None, cause: BaseException | None) -> str:
    """Returns what the parser found wrong, without what the client sent, which may hold a key."""
    if isinstance(cause, LineTooLong):
        _, limit, _ = cause.args
        return f"a line of its head is longer than {limit} bytes"
    return (message or "not understood").partition(":")[0]
