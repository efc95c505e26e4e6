"""``Listener``: one application, served on one or several addresses."""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from mlxd.config.address import Address
from mlxd.errors import InvalidRequestError
from mlxd.listener.acceptor import Acceptor
from mlxd.listener.binding import Bound, bind
from mlxd.listener.errors import error_response, internal_error

log = structlog.get_logger(__name__)

# handler_cancellation: a client that goes away cancels its handler at once, not at the next write
_RUNNER_OPTIONS: dict[str, Any] = {"handler_cancellation": True, "access_log": None}
# keepalive_timeout: seconds a connection may be idle, before its first request or between two
_CONNECTION_OPTIONS: dict[str, Any] = {"access_log": None, "keepalive_timeout": 75.0}


class Listener:
    """Start once, stop once. Between the two, addresses may be opened and closed (a reload does)."""

    def __init__(self, app: web.Application, addresses: Sequence[Address], *, shutdown_timeout: float = 2.0) -> None:
        self._wanted = tuple(addresses)
        self._open: dict[Address, _Site] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._runner = web.AppRunner(app, shutdown_timeout=shutdown_timeout, **_RUNNER_OPTIONS)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where it listens now, with real port numbers."""
        return tuple(site.bound.address for site in self._open.values())

    async def start(self) -> None:
        """Bind all addresses, then serve. Raises ``ListenError``, and then none of them is bound."""
        bounds = _bind_all(self._wanted)
        try:
            await self._runner.setup()
            for wanted, bound in zip(self._wanted, bounds, strict=True):
                self.serve(wanted, bound)
        except BaseException:
            for bound in bounds:
                bound.close()
            await self._runner.cleanup()
            raise

    def bound_to(self, wanted: Address) -> Address:
        """The address with its real port; as it is where it is not open."""
        return self._open[wanted].bound.address if wanted in self._open else wanted

    def serve(self, wanted: Address, bound: Bound) -> None:
        """Serve what is bound already, for the address that was ``wanted``; from now on it is the listener's to close."""
        self._open[wanted] = _Site(bound, [Acceptor(sock, self._accepted) for sock in bound.sockets])

    def close(self, wanted: Address) -> None:
        """Stop listening on one address; its connections go on. No effect on one that is not open."""
        site = self._open.pop(wanted, None)
        if site is not None:
            site.close()

    def stop_accepting(self) -> None:
        """Close all listening sockets; connections, and the requests on them, go on."""
        for wanted in list(self._open):
            self.close(wanted)

    async def stop(self) -> None:
        """Close everything. Handlers that still run get ``shutdown_timeout``, are then cancelled, and get it once more."""
        self.stop_accepting()
        await asyncio.gather(*self._connecting)  # what was accepted a moment ago becomes a connection, which cleanup closes
        await self._runner.cleanup()

    def _accepted(self, connected: socket.socket) -> None:
        task = asyncio.create_task(self._connect(connected))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, connected: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._connection, connected)
        except OSError:  # the client has gone, or the application has
            connected.close()

    def _connection(self) -> "_Connection":
        server = self._runner.server
        if server is None:
            raise ConnectionAbortedError("the listener has stopped")
        return _Connection(server, loop=asyncio.get_running_loop(), **_CONNECTION_OPTIONS)


@dataclass(frozen=True)
class _Site:
    bound: Bound
    acceptors: list[Acceptor]

    def close(self) -> None:
        for acceptor in self.acceptors:
            acceptor.close()
        self.bound.close()


class _Connection(web.RequestHandler):
    """aiohttp's connection, whose own errors (malformed HTTP above all) have our shape."""

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun; no other can be sent")
        if status < 500:  # the parser refused it; a scanner's noise is no event of ours
            log.debug("request_malformed", reason=message)
            response = error_response(InvalidRequestError(f"malformed HTTP request: {message or 'not understood'}"))
        else:
            if not isinstance(exc, ConnectionError):  # that is a client that left before its answer began
                log.error("request_crashed", exc_info=exc)
            response = error_response(internal_error())
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """A broken body is met a second time when aiohttp skips the rest of it; the client has been told already."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)


def _bind_all(addresses: Sequence[Address]) -> list[Bound]:
    bounds: list[Bound] = []
    try:
        for address in addresses:
            bounds.append(bind(address))  # noqa: PERF401 - what is bound must be known when the next one fails
    except BaseException:
        for bound in bounds:
            bound.close()
        raise
    return bounds
