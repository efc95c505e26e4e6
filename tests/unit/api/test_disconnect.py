"""A client that goes away, or stops reading, ends its request in the worker: in every phase, streaming or not."""

import asyncio
import socket

import pytest

from mlxd.listener import body
from tests.support.patience import PATIENCE
from tests.unit.api.conftest import HELLO


def queued(_request):
    """Submitted, not started."""


def prefilling(request):
    request.started()


def decoding(request):
    request.started()
    request.delta("some")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("phase", [queued, prefilling, decoding])
async def test_a_client_that_goes_away_aborts_its_request(server, phase, stream):
    async with server.raw() as (_, writer):
        writer.write(server.raw_post(HELLO | {"stream": stream}))
        request = await server.worker.next_request()
        phase(request)
        writer.transport.abort()
    await asyncio.wait_for(request.aborted.wait(), PATIENCE)
    record = await server.telemetry.next_record()
    assert (record.outcome, record.error, record.model) == ("aborted", None, "tiny")
    assert record.completion_tokens == (1 if phase is decoding and record.time_to_first_token else 0)
    assert server.telemetry.rejections == []


async def test_a_client_that_goes_away_while_it_sends_its_body(server, monkeypatch):
    reading = asyncio.Event()
    really_read = body._next_chunk

    async def read(*arguments):
        reading.set()
        return await really_read(*arguments)

    monkeypatch.setattr(body, "_next_chunk", read)
    async with server.raw() as (_, writer):
        writer.write(server.raw_post(HELLO)[:-10])
        await asyncio.wait_for(reading.wait(), PATIENCE)
    record = await server.telemetry.next_record()
    assert (record.outcome, record.model) == ("aborted", "_unknown")
    assert server.worker.submitted == []


async def test_two_requests_on_one_connection_and_then_gone(server):
    async with server.raw() as (reader, writer):
        writer.write(server.raw_post(HELLO))
        first = await server.worker.next_request()
        first.started()
        first.finish("x", 1)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(server.raw_post(HELLO))
        second = await server.worker.next_request()
    await asyncio.wait_for(second.aborted.wait(), PATIENCE)
    assert not first.aborted.is_set()


async def connect_that_never_reads(port):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(0)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return sock


async def test_a_stalled_reader_is_cut_off_when_its_queue_overflows(server):
    sock = await connect_that_never_reads(server.port)
    await asyncio.get_running_loop().sock_sendall(sock, server.raw_post(HELLO | {"stream": True}))
    request = await server.worker.next_request()
    request.started()
    while not request.aborted.is_set():
        request.delta("x" * 4096)  # never waits: the engine does not feel a slow client
        await asyncio.sleep(0)
    record = await server.telemetry.next_record()
    assert (record.outcome, record.error) == ("aborted", "slow_client")
    sock.close()


async def test_a_stalled_reader_of_a_finished_answer_meets_the_deadline(server, monkeypatch):
    monkeypatch.setattr("mlxd.api.sse._LAST_WORD", 0.05)
    server.set_server(request_timeout=0.3)
    sock = await connect_that_never_reads(server.port)
    await asyncio.get_running_loop().sock_sendall(sock, server.raw_post(HELLO | {"stream": True}))
    request = await server.worker.next_request()
    request.started()
    request.delta("x" * 16 * 2**20)
    request.finish()
    record = await server.telemetry.next_record()
    assert (record.outcome, record.error) == ("error", "request_timeout")
    assert await received(sock) < 16 * 2**20  # what it did not read is dropped, not kept for it
    sock.close()


async def received(sock):
    """Bytes until the end or the reset of the connection."""
    total = 0
    try:
        while data := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 2**20), PATIENCE):
            total += len(data)
    except ConnectionResetError:
        return total
    return total


async def test_others_are_served_while_one_reader_stalls(server):
    sock = await connect_that_never_reads(server.port)
    await asyncio.get_running_loop().sock_sendall(sock, server.raw_post(HELLO | {"stream": True}))
    stalled = await server.worker.next_request()
    stalled.started()
    for _ in range(8):
        stalled.delta("x" * 2**20)
    answer = asyncio.ensure_future(server.answer(HELLO))
    other = await server.worker.next_request()
    other.started()
    other.finish("fine", 1)
    status, _, _ = await answer
    assert status == 200
    sock.close()
    await asyncio.wait_for(stalled.aborted.wait(), PATIENCE)
