"""TLS on a listener: handshakes good, bad and never finished, and contexts that change while connections go on."""

import asyncio
import ssl

import pytest
import structlog
from aiohttp import web

from mlxd.config.address import TcpAddress, UnixAddress
from mlxd.config.certificates import CertificateFiles
from mlxd.listener import tls
from mlxd.listener.binding import bind
from mlxd.listener.connection import OpenConnections
from mlxd.listener.server import Listener
from tests.support.certificates import Authority
from tests.support.patience import PATIENCE
from tests.unit.listener.conftest import Echo, post_bytes, read_answer

ANY = TcpAddress("127.0.0.1", 0)
GET = b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
async def door(authority, tmp_path):
    """A listener whose context the test may change: ``door.context``."""
    echo = Echo()
    pair = authority.issue(tmp_path)
    echo.context = tls.new_context(CertificateFiles("server.tls", pair.certificate, pair.key))
    echo.listener = Listener(echo.application(), [ANY], tls=lambda: echo.context, shutdown_timeout=0.2)
    await echo.listener.start()
    echo.port = echo.listener.addresses[0].port
    echo.trust = authority.client()
    yield echo
    await echo.listener.stop()


async def connect(door, context=None):
    return await asyncio.open_connection("127.0.0.1", door.port, ssl=context or door.trust)


async def ask(door, data=GET, context=None):
    reader, writer = await connect(door, context)
    writer.write(data)
    try:
        return await read_answer(reader)
    finally:
        writer.close()
        await writer.wait_closed()


async def ask_plainly(door, data=GET):
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), PATIENCE)
    finally:
        writer.close()


async def test_a_request(door):
    assert (await ask(door))[0] == 200
    assert (await ask(door, post_bytes(b'{"a": 1}')))[::2] == (200, {"a": 1})


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_versions_and_the_protocol_above(door, authority, version):
    context = authority.client()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await connect(door, context)
    spoken = writer.get_extra_info("ssl_object")
    assert (spoken.version(), spoken.selected_alpn_protocol()) == (version.name.replace("_", "."), "http/1.1")
    writer.close()
    await writer.wait_closed()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_what_is_older_is_refused(door, authority):
    context = authority.client()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError):  # an alert, or a reset if that is lost
        await connect(door, context)
    assert (await ask(door))[0] == 200


async def test_a_client_that_does_not_trust_us_harms_nobody(door):
    with structlog.testing.capture_logs() as logs, pytest.raises(ssl.SSLCertVerificationError):
        await connect(door, ssl.create_default_context())
    assert (await ask(door))[0] == 200
    assert [line for line in logs if line["log_level"] != "debug"] == []


async def test_plain_http_is_told_what_is_wrong(door):
    with structlog.testing.capture_logs() as logs:
        answer = await ask_plainly(door, post_bytes(b'{"a": 1}'))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"use https://" in answer
    assert logs == []


async def test_tls_to_a_plain_listener_ends_cleanly(door, caplog):
    door.context = None
    with structlog.testing.capture_logs() as logs, pytest.raises(ssl.SSLError):
        await connect(door)
    assert [line["event"] for line in logs] == ["request_malformed"]
    assert logs[0]["log_level"] == "debug"
    assert caplog.records == []


@pytest.mark.parametrize("sent", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"])
async def test_a_client_that_does_not_finish_is_dropped(door, sent, monkeypatch):
    monkeypatch.setattr(tls, "HANDSHAKE", 0.1)
    assert await ask_plainly(door, sent) == b""
    assert (await ask(door))[0] == 200


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x00\x05hello", b"\x16" * 5000])
async def test_a_damaged_handshake_is_no_event(door, sent, caplog):
    with structlog.testing.capture_logs() as logs:
        answer = await ask_plainly(door, sent)
    assert b"HTTP" not in answer
    assert [line["log_level"] for line in logs] == ["debug"]
    assert caplog.records == []


async def test_a_client_that_leaves_before_a_word(door):
    _, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.close()
    assert (await ask(door))[0] == 200


async def test_unix_sockets_speak_plainly(door, tmp_path):
    address = UnixAddress(tmp_path / "s")
    door.listener.serve(address, bind(address))
    reader, writer = await asyncio.open_unix_connection(address.path)
    writer.write(GET)
    assert (await read_answer(reader))[0] == 200
    writer.close()


async def test_another_certificate_is_for_new_connections(door, authority, tmp_path):
    reader, writer = await connect(door)
    writer.write(GET)
    assert (await read_answer(reader))[0] == 200
    before = writer.get_extra_info("peercert")["serialNumber"]
    pair = authority.issue(tmp_path, stem="other")
    door.context = tls.new_context(CertificateFiles("server.tls", pair.certificate, pair.key))
    writer.write(GET)
    assert (await read_answer(reader))[0] == 200
    other_reader, other_writer = await connect(door)
    other_writer.write(GET)
    assert (await read_answer(other_reader))[0] == 200
    assert other_writer.get_extra_info("peercert")["serialNumber"] != before
    for one in (writer, other_writer):
        one.close()
        await one.wait_closed()


async def test_tls_comes_and_goes_on_one_port(door):
    context, door.context = door.context, None
    assert (await door.raw(GET))[0] == 200
    door.context = context
    assert (await ask(door))[0] == 200


async def test_nobody_waits_for_a_handshake_when_the_listener_stops(door):
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"\x16\x03\x01")
    assert (await ask(door))[0] == 200  # the other has been accepted by now
    await asyncio.wait_for(door.listener.stop(), tls.HANDSHAKE / 2)
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    writer.close()


async def test_a_refusal_with_a_body_unread_is_heard(door):
    status, headers, _ = await ask(door, post_bytes(b"[" + b"1," * 500_000 + b"1]"))
    assert (status, headers["connection"]) == (413, "close")


async def test_a_malformed_request_is_told(door):
    status, _, body = await ask(door, b"GET /echo HTTP/1.1\r\nHost localhost\r\n\r\n" + b"x" * 100_000)
    assert (status, "malformed" in body["error"]["message"]) == (400, True)


async def test_an_idle_connection_closes_with_its_listener(door):
    reader, writer = await connect(door)
    writer.write(GET)
    assert (await read_answer(reader))[0] == 200
    door.listener.close(ANY)
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    writer.close()


async def test_a_client_that_goes_away_cancels_its_handler(door):
    _, writer = await connect(door)
    writer.write(GET.replace(b"/echo", b"/wait"))
    await asyncio.wait_for(door.entered.wait(), PATIENCE)
    writer.transport.abort()
    await asyncio.wait_for(door.cancelled.wait(), PATIENCE)


async def test_a_connection_that_is_closed_twice_can_be_asked(door):
    reader, writer = await connect(door)
    writer.write(GET)
    assert (await read_answer(reader))[0] == 200
    (connection,) = (one for site in door.listener._open.values() for one in site.connections)
    for _ in range(2):
        connection._wire.close()
    assert connection.is_read() in (True, False)
    connection.cut_off()
    connection.retire()
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    writer.close()


async def test_an_answer_that_nobody_reads_is_dropped(authority, tmp_path, monkeypatch):
    pair, echo, dropped = authority.issue(tmp_path), Echo(), asyncio.Event()
    context = tls.new_context(CertificateFiles("server.tls", pair.certificate, pair.key))
    app = echo.application()

    async def large(_request):
        return web.Response(body=b"x" * 16 * 2**20)

    app.router.add_get("/large", large)
    listener = Listener(app, [ANY], tls=lambda: context, shutdown_timeout=0.2, write_stall=0.4)
    await listener.start()
    discard = OpenConnections.discard
    monkeypatch.setattr(OpenConnections, "discard", lambda *given: dropped.set() or discard(*given))
    _, writer = await asyncio.open_connection("127.0.0.1", listener.addresses[0].port, ssl=authority.client(), limit=1024)
    writer.write(GET.replace(b"/echo", b"/large"))
    await asyncio.wait_for(dropped.wait(), PATIENCE)
    writer.transport.abort()
    await listener.stop()
