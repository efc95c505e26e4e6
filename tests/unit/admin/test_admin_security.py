"""The admin listener resists what is sent to it: the real application on a real socket, spoken to in bytes."""

import asyncio
import contextlib
import gzip
import json
import tracemalloc
from dataclasses import dataclass

import pytest

from mlxd.admin.app import build_admin_app, rules_of
from mlxd.admin.routes import ROUTES
from mlxd.config.address import TcpAddress
from mlxd.config.schema import AdminTable
from mlxd.listener import connection as connection_module
from mlxd.listener.body import BodyLimits
from mlxd.listener.server import Listener
from tests.support.patience import PATIENCE
from tests.unit.admin.conftest import GUARDED

MIB = 2**20
LIMITS = BodyLimits(max_size=4 * MIB, stall=0.2, total=0.6)  # seconds: those of the real listener, but shorter
FULL = "Authorization: Bearer full-token"
TOML = "Content-Type: application/toml"
CHUNKED = "Transfer-Encoding: chunked"
DIFF = "POST /admin/v1/config/diff"


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self):
        """Status, headers in lower case, and the document."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await asyncio.wait_for(self.reader.readexactly(int(headers.get("content-length", 0))), PATIENCE)
        return int(head[0].split()[1]), headers, json.loads(body) if body else {}

    async def is_closed(self):
        """Cleanly: an end, and no reset."""
        return await asyncio.wait_for(self.reader.read(), PATIENCE) == b""


@dataclass
class Door:
    """The way in. ``table`` is the [admin] table in force; tests change it."""

    port: int = 0
    table: AdminTable = GUARDED

    @contextlib.asynccontextmanager
    async def open(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def ask(self, *lines, body=b""):
        async with self.open() as connection:
            await connection.send(head(*lines) + body)
            return await connection.answer()


def head(first, *headers):
    """A request's beginning, for this host unless it names another."""
    lines = [f"{first} HTTP/1.1", *headers]
    if not any(line.startswith("Host:") for line in headers):
        lines.append("Host: localhost")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunk(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@pytest.fixture
async def door(daemon):
    made = Door()
    app = build_admin_app(daemon.sources, lambda: rules_of(made.table), LIMITS)
    listener = Listener(app, [TcpAddress("127.0.0.1", 0)], shutdown_timeout=0.2)
    await listener.start()
    made.port = listener.addresses[0].port
    yield made
    await listener.stop()


@contextlib.contextmanager
def allocating_less_than(size):
    """More than was allocated before, at any moment."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        assert tracemalloc.get_traced_memory()[1] - before < size
    finally:
        tracemalloc.stop()


def untouched(daemon):
    return (daemon.models.asked, daemon.reloads.asked, daemon.log_level) == ([], [], "info")


# ---- browsers ----

ATTACKS = {
    "rebinding": ["Host: evil.example"],
    "rebinding-port": ["Host: evil.example:8001"],
    "rebinding-suffix": ["Host: localhost.evil.example"],
    "origin": ["Origin: https://evil.example"],
    "origin-of-ours": ["Origin: http://localhost"],
    "origin-null": ["Origin: null"],
    "no-cors": ["Sec-Fetch-Mode: no-cors"],
    "websocket": ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="],
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_page_in_a_browser_reaches_nothing_even_with_the_token(daemon, door, attack):
    for route in ROUTES:
        path = route.path.replace("{id:.+}", "tiny").replace("{adapter}", "sql").replace("{operation}", "op-1").replace("{request}", "r")
        status, headers, body = await door.ask(f"{route.method} {path}", FULL, *ATTACKS[attack])
        assert (route.name, status, body["error"]["code"]) == (route.name, 403, "forbidden")
        assert "access-control-allow-origin" not in headers
    assert untouched(daemon)


async def test_a_preflight_allows_nothing(door):
    status, headers, _ = await door.ask(
        "OPTIONS /admin/v1/reload", "Origin: https://evil.example", "Access-Control-Request-Method: POST", FULL
    )
    assert status == 403
    assert not any(name.startswith("access-control") for name in headers)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_a_form_of_a_page_sends_nothing(daemon, door, kind):
    status, _, body = await door.ask(
        "PUT /admin/v1/log-level", f"Content-Type: {kind}", "Content-Length: 18", FULL, body=b'{"level": "debug"}'
    )
    assert (status, body["error"]["code"]) == (415, "unsupported_media_type")
    assert untouched(daemon)


async def test_a_name_that_is_allowed_is_let_in_and_no_other(door):
    door.table = AdminTable(token="full-token", allowed_hosts=("mac.example",))
    assert (await door.ask("GET /admin/v1/status", FULL, "Host: mac.example:8001"))[0] == 200
    assert (await door.ask("GET /admin/v1/status", FULL, "Host: mac.example.evil"))[0] == 403


async def test_rules_hold_from_the_next_request_on_open_connections_too(door):
    door.table = AdminTable()
    async with door.open() as connection:
        for table, token, expected in ((AdminTable(), "", 200), (GUARDED, "", 401), (GUARDED, FULL, 200)):
            door.table = table
            await connection.send(head("GET /admin/v1/status", *([token] if token else [])))
            assert (await connection.answer())[0] == expected


# ---- large bodies ----


async def test_a_large_body_is_refused_by_its_length_alone(daemon, door):
    status, headers, body = await door.ask(DIFF, FULL, TOML, f"Content-Length: {10 * MIB}")
    assert (status, body["error"]["code"], headers["connection"]) == (413, "body_too_large", "close")
    assert untouched(daemon)


async def test_who_sends_it_all_the_same_reads_the_answer_and_a_clean_end(door):
    piece = b"#" * MIB
    async with door.open() as connection:
        with allocating_less_than(3 * MIB):  # of the client's own buffer, above all
            await connection.send(head(DIFF, FULL, TOML, f"Content-Length: {10 * MIB}"))
            for _ in range(10):
                await connection.send(piece)
            assert (await connection.answer())[0] == 413
        assert await connection.is_closed()
    assert (await door.ask("GET /livez"))[0] == 200


async def test_a_large_body_in_chunks_is_refused_once_it_is_too_large(daemon, door):
    piece = chunk(b"#" * MIB)
    async with door.open() as connection:
        with allocating_less_than(12 * MIB):  # at most 4 MiB are kept, in a buffer that grows by copying
            await connection.send(head(DIFF, FULL, TOML, CHUNKED))
            for _ in range(40):
                await connection.send(piece)
            await connection.send(chunk(b""))
            assert (await connection.answer())[0] == 413
        assert await connection.is_closed()
    assert untouched(daemon)


@pytest.mark.parametrize("token", [FULL, "Authorization: Bearer wrong"])
async def test_a_body_nobody_asked_for_is_not_kept_and_the_connection_goes_on(daemon, door, token):
    piece = b"#" * MIB
    async with door.open() as connection:
        with allocating_less_than(3 * MIB):
            await connection.send(head("POST /admin/v1/evict", token, TOML, f"Content-Length: {10 * MIB}"))
            for _ in range(10):
                await connection.send(piece)
            assert (await connection.answer())[0] == (400 if token == FULL else 401)
        await connection.send(head("GET /livez"))
        assert (await connection.answer())[0] == 200
    assert untouched(daemon)


async def test_a_small_body_that_unpacks_to_a_large_one_is_refused(daemon, door):
    bomb = gzip.compress(b"#" * (100 * MIB))
    with allocating_less_than(24 * MIB):
        status, _, body = await door.ask(DIFF, FULL, TOML, "Content-Encoding: gzip", f"Content-Length: {len(bomb)}", body=bomb)
    assert (status, body["error"]["code"]) == (413, "body_too_large")
    assert untouched(daemon)


# ---- slow and endless ones ----


@pytest.mark.parametrize("framing", ["Content-Length: 100", CHUNKED])
async def test_a_body_that_does_not_come_ends_in_time(daemon, door, framing):
    started = asyncio.get_running_loop().time()
    async with door.open() as connection:
        await connection.send(head(DIFF, FULL, TOML, framing))
        status, headers, body = await connection.answer()
    assert (status, body["error"]["code"], headers["connection"]) == (408, "request_body_timeout", "close")
    assert asyncio.get_running_loop().time() - started < 5
    assert untouched(daemon)


@pytest.mark.parametrize(("framing", "drop"), [("Content-Length: 1000000", b"#"), (CHUNKED, chunk(b"#"))], ids=["length", "chunked"])
async def test_a_body_that_drips_for_ever_ends_in_time(daemon, door, framing, drop):
    async with door.open() as connection:
        await connection.send(head(DIFF, FULL, TOML, framing))
        answer = asyncio.create_task(connection.answer())
        while not answer.done():
            await asyncio.wait({answer}, timeout=0.02)
            await connection.send(drop)
        status, _, body = await answer
    assert (status, "not complete after 600ms" in body["error"]["message"]) == (408, True)
    assert untouched(daemon)


async def test_a_body_that_never_ends_ends_by_its_size(door):
    piece = chunk(b"#" * MIB)
    async with door.open() as connection:
        await connection.send(head(DIFF, FULL, TOML, CHUNKED))
        answer = asyncio.create_task(connection.answer())
        while not answer.done():
            await connection.send(piece)
            await asyncio.sleep(0)
        assert (await answer)[0] == 413


async def test_a_chunk_whose_first_line_never_ends_ends_in_time(daemon, door):
    async with door.open() as connection:
        with allocating_less_than(4 * MIB):
            await connection.send(head(DIFF, FULL, TOML, CHUNKED) + b"1;")
            answer = asyncio.create_task(connection.answer())
            while not answer.done():
                await connection.send(b"x" * 65536)
                await asyncio.wait({answer}, timeout=0.001)
            assert (await answer)[0] in (400, 408)
    assert untouched(daemon)


async def test_headers_that_drip_do_not_hold_a_connection(door, monkeypatch):
    monkeypatch.setitem(connection_module._OPTIONS, "keepalive_timeout", 0.3)
    async with door.open() as connection:
        await connection.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n")
        ended = asyncio.create_task(connection.reader.read())
        number = 0
        while not ended.done():
            number += 1
            await asyncio.wait({ended}, timeout=0.02)
            with contextlib.suppress(ConnectionError):
                await connection.send(f"X-{number}: y\r\n".encode())
        with contextlib.suppress(ConnectionError):  # what we sent after the end
            assert await ended == b""
        assert 1 < number < 100


async def test_a_slow_client_holds_up_nobody_else(door):
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(50):
            connection = await stack.enter_async_context(door.open())
            await connection.send(head(DIFF, FULL, TOML, "Content-Length: 100"))
        assert (await door.ask("GET /livez"))[0] == 200


# ---- malformed ----


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        head("GET /livez", "X: " + "y" * 10_000),
        head("GET /livez", "X" * 10_000 + ": y"),
        head("GET /livez", *(f"X-{number}: y" for number in range(1000))),
        head(DIFF, FULL, TOML, CHUNKED) + b"ffffffffffffffffff\r\n",
        head(DIFF, FULL, TOML, CHUNKED, "Content-Length: 5") + b"0\r\n\r\n",
    ],
    ids=["path", "value", "name", "many", "chunk-size", "two-lengths"],
)
async def test_what_is_oversized_or_ambiguous_is_refused_and_closed(daemon, door, data):
    async with door.open() as connection:
        with allocating_less_than(4 * MIB):
            await connection.send(data)
            status, _, body = await connection.answer()
        assert (status, body["error"]["code"]) == (400, "invalid_request")
        with contextlib.suppress(ConnectionResetError):  # of what it did not read
            assert await connection.is_closed()
    assert untouched(daemon)


async def test_a_header_line_without_an_end_is_not_collected(door):
    async with door.open() as connection:
        with allocating_less_than(4 * MIB), contextlib.suppress(ConnectionError):
            await connection.send(b"GET /livez HTTP/1.1\r\nX: ")
            for _ in range(200):
                await connection.send(b"y" * 65536)
                if connection.reader.at_eof():
                    break
        with contextlib.suppress(ConnectionError):
            assert (await connection.answer())[0] == 400


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe\x00", b'{"level": "\xed\xa0\x80"}', b'{"level": "debug"', b"NaN", b"[" * 5000, b'{"level": "debug", "level": "info"}'],
)
async def test_a_document_that_is_none_changes_nothing(daemon, door, body):
    status, _, answer = await door.ask(
        "PUT /admin/v1/log-level", FULL, "Content-Type: application/json", f"Content-Length: {len(body)}", body=body
    )
    assert (status, answer["error"]["code"]) == (400, "invalid_request")
    assert untouched(daemon)
