"""``Listener``: one application, served on one or several addresses."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from aiohttp import web

from mlxd.config.address import Address, TcpAddress
from mlxd.listener.acceptor import Acceptor
from mlxd.listener.binding import Bound, bind
from mlxd.listener.connection import Connection, OpenConnections
from mlxd.listener.tls import connect_tls

log = structlog.get_logger(__name__)

# handler_cancellation: a client that goes away cancels its handler at once, not at the next write
_RUNNER_OPTIONS: dict[str, Any] = {"handler_cancellation": True, "access_log": None}
_Tls = Callable[[], ssl.SSLContext | None]
_LAST_HANDSHAKES = 0.5  # seconds, when the listener stops
_WRITE_STALL = 60.0  # seconds after which a client that reads nothing of its answer is cut off


def _no_tls() -> None:
    """Returns no context, as for unix sockets, which nobody can listen in on."""


class Listener:
    """A listener starts once and stops once. Between the two, addresses may be opened and closed (a reload does).

    A client that reads nothing of what was written to it for ``write_stall`` seconds is cut off. ``tls`` is asked for each connection to a
    TCP address; None is plain HTTP.
    """

    def __init__(
        self,
        app: web.Application,
        addresses: Sequence[Address],
        *,
        tls: _Tls = _no_tls,
        shutdown_timeout: float = 2.0,
        write_stall: float = _WRITE_STALL,
    ) -> None:
        self._wanted = tuple(addresses)
        self._open: dict[Address, _Site] = {}
        self._closing: list[_Site] = []  # that some connections are left of
        self._connecting: set[asyncio.Task[None]] = set()
        self._tls = tls
        self._write_stall = write_stall
        self._watching: asyncio.Task[None] | None = None
        self._runner = web.AppRunner(app, shutdown_timeout=shutdown_timeout, **_RUNNER_OPTIONS)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Returns where it listens now, with real port numbers."""
        return tuple(site.bound.address for site in self._open.values())

    async def start(self) -> None:
        """Binds all addresses, then serves. Raises ``ListenError``, and then none of them is bound."""
        bounds = _bind_all(self._wanted)
        try:
            await self._runner.setup()
            for wanted, bound in zip(self._wanted, bounds, strict=True):
                self.serve(wanted, bound)
            self._watching = asyncio.create_task(self._watch_writes(), name="write_stall")
        except BaseException:
            for bound in bounds:
                bound.close()
            await self._runner.cleanup()
            raise

    def bound_to(self, wanted: Address) -> Address:
        """Returns the address with its real port, or as it is where it is not open."""
        return self._open[wanted].bound.address if wanted in self._open else wanted

    def serve(self, wanted: Address, bound: Bound) -> None:
        """Serves what is bound already, for the address that was ``wanted``; from now on it is the listener's to close."""
        connections = OpenConnections()
        tls = self._tls if isinstance(bound.address, TcpAddress) else _no_tls
        accepted = partial(self._accepted, connections, tls)
        with contextlib.ExitStack() as on_failure:
            for sock in bound.sockets:
                on_failure.callback(asyncio.get_running_loop().remove_reader, sock)
            acceptors = [Acceptor(sock, accepted) for sock in bound.sockets]
            on_failure.pop_all()
        self._open[wanted] = _Site(bound, acceptors, connections)

    def close(self, wanted: Address) -> None:
        """Stops listening on one address. Its connections finish the requests they are at, and close. Does nothing for one that is not
        open.
        """
        site = self._open.pop(wanted, None)
        if site is not None:
            site.close()
            self._closing = [*(old for old in self._closing if len(old.connections)), site]

    def stop_accepting(self) -> None:
        """Closes all listening sockets; the requests that have begun go on."""
        for wanted in list(self._open):
            self.close(wanted)

    async def stop(self) -> None:
        """Closes everything. Handlers that still run get ``shutdown_timeout``, are then cancelled, and get it once more."""
        self.stop_accepting()
        if self._watching is not None:
            self._watching.cancel()
        await self._finish_connecting()
        await self._runner.cleanup()

    async def _finish_connecting(self) -> None:
        """Lets what was accepted a moment ago become a connection, which cleanup closes; nobody waits for a client's handshake."""
        if self._connecting:
            _, late = await asyncio.wait(self._connecting, timeout=_LAST_HANDSHAKES)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _accepted(self, connections: OpenConnections, tls: _Tls, connected: socket.socket) -> None:
        task = asyncio.create_task(self._connect(connections, tls, connected))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, connections: OpenConnections, tls: _Tls, connected: socket.socket) -> None:
        """Makes a connection of what was accepted; ends in silence where the client has gone, or the application has, or the handshake
        came to nothing.
        """
        context = tls()
        protocol = partial(self._connection, connections)
        try:
            if context is None:
                await asyncio.get_running_loop().connect_accepted_socket(protocol, connected)
            else:
                await connect_tls(protocol, connected, context)
        except OSError as error:
            if context is not None:
                log.debug("handshake_failed", reason=str(error))
            connected.close()

    def _connection(self, connections: OpenConnections) -> Connection:
        server = self._runner.server
        if server is None:
            raise ConnectionAbortedError("the listener has stopped")
        return connections.accept(server)

    async def _watch_writes(self) -> None:
        """Cuts off clients that do not read: an answer that nobody reads would be kept, with its connection, for as long as the client
        likes.
        """
        idle: dict[Connection, float] = {}  # seconds
        tick = self._write_stall / 4
        while True:
            await asyncio.sleep(tick)
            stalled = [one for site in (*self._open.values(), *self._closing) for one in site.connections if not one.is_read()]
            idle = {connection: idle.get(connection, 0.0) + tick for connection in stalled}
            for connection, seconds in idle.items():
                if seconds >= self._write_stall:
                    log.info("client_stalled", seconds=round(seconds, 1))
                    connection.cut_off()


@dataclass(frozen=True)
class _Site:
    bound: Bound
    acceptors: list[Acceptor]
    connections: OpenConnections

    def close(self) -> None:
        for acceptor in self.acceptors:
            acceptor.close()
        self.bound.close()
        self.connections.retire()


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
