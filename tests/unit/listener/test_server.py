"""``Listener``: start, drain, stop, and the addresses in between."""

import asyncio
import socket

import pytest

from mlxd.config.address import TcpAddress, UnixAddress
from mlxd.errors import ListenError
from mlxd.listener.binding import bind
from mlxd.listener.server import Listener
from tests.support.patience import PATIENCE
from tests.unit.listener.conftest import Echo

ANY = TcpAddress("127.0.0.1", 0)


async def answers(connecting):
    """Whether a request on a new connection is answered. Waits for the answer: a connection left half accepted would leak."""
    try:
        reader, writer = await connecting
    except ConnectionRefusedError:
        return False
    writer.write(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
    line = await reader.readline()
    writer.close()
    return b"200" in line


async def is_open(address):
    if isinstance(address, UnixAddress):
        return await answers(asyncio.open_unix_connection(address.path))
    return await answers(asyncio.open_connection(address.host, address.port))


async def test_several_addresses_at_once(tmp_path):
    listener = Listener(Echo().application(), [ANY, UnixAddress(tmp_path / "s")])
    await listener.start()
    tcp, unix = listener.addresses
    assert tcp.port > 0
    assert unix == UnixAddress(tmp_path / "s")
    assert await is_open(tcp)
    assert await is_open(unix)
    await listener.stop()
    assert not await is_open(tcp)
    assert not (tmp_path / "s").exists()
    assert listener.addresses == ()


async def test_all_or_nothing(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = TcpAddress("127.0.0.1", other.getsockname()[1])
        listener = Listener(Echo().application(), [UnixAddress(tmp_path / "s"), taken])
        with pytest.raises(ListenError, match=str(taken.port)):
            await listener.start()
    assert not (tmp_path / "s").exists()


async def test_stop_cancels_what_still_runs():
    made = Echo()
    listener = Listener(made.application(), [ANY], shutdown_timeout=0.1)
    await listener.start()
    made.port = listener.addresses[0].port
    waiting = asyncio.ensure_future(made.get("/wait"))
    await asyncio.wait_for(made.entered.wait(), PATIENCE)
    await asyncio.wait_for(listener.stop(), PATIENCE)
    assert made.cancelled.is_set()
    with pytest.raises(asyncio.IncompleteReadError):
        await waiting


async def test_a_client_that_goes_away_cancels_its_handler():
    made = Echo()
    listener = Listener(made.application(), [ANY])
    await listener.start()
    _, writer = await asyncio.open_connection("127.0.0.1", listener.addresses[0].port)
    writer.write(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await asyncio.wait_for(made.entered.wait(), PATIENCE)
    writer.close()
    await asyncio.wait_for(made.cancelled.wait(), PATIENCE)
    assert made.errors == []
    await listener.stop()


async def test_addresses_come_and_go(tmp_path):
    listener = Listener(Echo().application(), [ANY])
    await listener.start()
    first, more = listener.addresses[0], UnixAddress(tmp_path / "s")
    listener.serve(more, bind(more))
    assert listener.addresses == (first, more)
    assert await is_open(first)
    listener.close(ANY)
    listener.close(ANY)
    assert listener.addresses == (more,)
    assert await is_open(more)
    assert not await is_open(first)
    await listener.stop()


async def test_stop_without_start():
    await Listener(Echo().application(), [ANY]).stop()
