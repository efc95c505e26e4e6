"""Connections that outlive their listener, and clients that do not read."""

import asyncio
import socket

import pytest
from aiohttp import web

from mlxd.config.address import TcpAddress
from mlxd.listener.connection import OpenConnections
from mlxd.listener.server import Listener
from tests.support.patience import PATIENCE
from tests.unit.listener.conftest import Echo, post_bytes, read_answer

ANY = TcpAddress("127.0.0.1", 0)
GET = b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
async def listening():
    """An application with a stream and an answer of 8 MiB, its listener, and the address it was told to listen on."""
    echo = Echo()
    app = echo.application()
    echo.release = asyncio.Event()

    async def stream(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        await echo.release.wait()
        await response.write(b"last")
        return response

    async def large(_request):
        return web.Response(body=b"x" * 8 * 2**20)

    async def upload(request):
        echo.entered.set()
        return await echo.echo(request)

    app.router.add_post("/upload", upload)
    app.router.add_get("/stream", stream)
    app.router.add_get("/large", large)
    listener = Listener(app, [ANY], shutdown_timeout=0.2, write_stall=0.4)
    await listener.start()
    echo.port = listener.addresses[0].port
    echo.listener = listener
    yield echo
    await listener.stop()


async def connect(echo):
    return await asyncio.open_connection("127.0.0.1", echo.port)


# ---- a listener closes ----


async def test_an_idle_connection_closes_with_its_listener(listening):
    reader, writer = await connect(listening)
    writer.write(GET)
    assert (await read_answer(reader))[0] == 200
    listening.listener.close(ANY)
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    writer.close()


async def test_a_request_that_has_begun_is_answered_and_is_the_last(listening):
    reader, writer = await connect(listening)
    whole = post_bytes(b'{"a": 1}')
    writer.write(whole.replace(b"/echo", b"/upload")[:-3])
    await asyncio.wait_for(listening.entered.wait(), PATIENCE)
    listening.listener.close(ANY)
    writer.write(whole[-3:])
    status, headers, body = await read_answer(reader)
    assert (status, headers["connection"], body) == (200, "close", {"a": 1})
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    writer.close()


async def test_a_stream_goes_on_to_its_end(listening):
    reader, writer = await connect(listening)
    writer.write(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"first ")
    listening.listener.close(ANY)
    listening.release.set()
    rest = await asyncio.wait_for(reader.read(), PATIENCE)
    assert b"last" in rest
    assert rest.endswith(b"0\r\n\r\n")
    writer.close()


async def test_who_has_just_connected_is_answered_once(listening):
    reader, writer = await connect(listening)
    listening.listener.close(ANY)
    writer.write(GET + GET)
    status, headers, _ = await read_answer(reader)
    assert (status, headers["connection"]) == (200, "close")
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    writer.close()


async def test_a_request_that_is_on_its_way_is_answered(listening):
    reader, writer = await connect(listening)
    writer.write(GET)
    assert (await read_answer(reader))[0] == 200
    writer.write(GET)  # in the system's hands, and nobody has read it
    listening.listener.close(ANY)
    assert (await read_answer(reader))[0] == 200
    writer.close()


# ---- a client does not read ----


async def connect_that_never_reads(port):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(0)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return sock


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"], ids=["kept", "closing"])
async def test_a_whole_answer_that_nobody_reads_is_dropped(listening, last, monkeypatch):
    dropped = asyncio.Event()
    monkeypatch.setattr(OpenConnections, "discard", lambda *_: dropped.set())
    sock = await connect_that_never_reads(listening.port)
    await asyncio.get_running_loop().sock_sendall(sock, b"GET /large HTTP/1.1\r\nHost: localhost\r\n" + last + b"\r\n")
    await asyncio.wait_for(dropped.wait(), PATIENCE)
    sock.close()


async def test_a_slow_reader_is_no_stalled_one(listening):
    sock = await connect_that_never_reads(listening.port)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    total, began = 0, loop.time()
    while data := await loop.sock_recv(sock, 2**18):
        total += len(data)
        await asyncio.sleep(0.02 if loop.time() - began < 1.5 else 0)  # so slow that the system's own buffer hides it
    assert total > 8 * 2**20
    sock.close()


async def test_a_connection_that_is_merely_idle_stays(listening):
    reader, writer = await connect(listening)
    for _ in range(2):
        writer.write(GET)
        assert (await read_answer(reader))[0] == 200
        await asyncio.sleep(0.6)  # longer than a client may leave an answer unread
    writer.close()
