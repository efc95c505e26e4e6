"""Nobody who has connected is forgotten when a listener closes."""

import asyncio
import errno
import socket

import pytest
from aiohttp import web

from mlxd.config.address import parse_address
from mlxd.listener.acceptor import Acceptor
from mlxd.listener.server import Listener
from tests.support.patience import PATIENCE


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        yield sock


async def hello(_):
    return web.Response(text="hello")


async def test_who_connected_before_the_end_is_answered_after_it():
    app = web.Application()
    app.router.add_get("/", hello)
    address = parse_address("127.0.0.1:0")
    listener = Listener(app, [address])
    await listener.start()
    clients = [socket.create_connection(("127.0.0.1", listener.addresses[0].port)) for _ in range(100)]  # the event loop has no turn
    await asyncio.sleep(0)  # now it accepts some of them
    listener.close(address)
    try:
        for client in clients:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(client, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                assert b"200 OK" in await asyncio.get_running_loop().sock_recv(client, 1000)
    finally:
        for client in clients:
            client.close()
        await listener.stop()


async def test_without_descriptors_it_waits_and_goes_on(listening, monkeypatch):
    monkeypatch.setattr("mlxd.listener.acceptor._PAUSE", 0.01)
    accepted = asyncio.Queue()

    class Exhausted:
        failures = 3

        def __init__(self, sock):
            self.fileno = sock.fileno
            self._sock = sock

        def accept(self):
            if self.failures:
                self.failures -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return self._sock.accept()

    acceptor = Acceptor(Exhausted(listening), accepted.put_nowait)
    with socket.create_connection(listening.getsockname()):
        async with asyncio.timeout(PATIENCE):
            (await accepted.get()).close()
    acceptor.close()


async def test_after_the_end_nobody_is_accepted(listening):
    accepted = []
    acceptor = Acceptor(listening, accepted.append)
    acceptor.close()
    with socket.create_connection(listening.getsockname()):
        for _ in range(5):
            await asyncio.sleep(0)
        assert accepted == []
