"""Raw bytes on a socket: every refusal is framed right, or says ``Connection: close`` and closes.

What could be read in two ways is refused.
"""

import asyncio

import pytest

from mlxd.listener.body import BodyLimits
from mlxd.listener.security import SecurityRules
from tests.support.patience import PATIENCE
from tests.unit.listener.conftest import post_bytes, read_answer

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
ONE_CHUNK = b"\r\n2\r\n{}\r\n0\r\n\r\n"


async def exchange(echo, data):
    """What is answered to the bytes, and to a request right behind them: the answers until the connection ends or nothing more comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
    writer.write(data + GET)
    answers = []
    try:
        while True:
            answers.append(await read_answer(reader))
            if answers[-1][1].get("connection") == "close":
                assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
                return answers
            if answers[-1][2] == {"role": "open"}:  # of the request behind
                return answers
    finally:
        writer.close()


SMUGGLING = {
    "length and chunks": POST + b"Content-Length: 6\r\n" + CHUNKED + b"\r\n0\r\n\r\nG",
    "chunks and length": POST + CHUNKED + b"Content-Length: 6\r\n\r\n0\r\n\r\nG",
    "length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "length with sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "length in hexadecimal": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "length with underscore": POST + b"Content-Length: 0_2\r\n\r\n{}",
    "no length": POST + b"Content-Length: \r\n\r\n",
    "negative length": POST + b"Content-Length: -1\r\n\r\n{}",
    "length beyond 64 bits": POST + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "space before the colon": POST + b"Content-Length : 2\r\n\r\n{}",
    "folded header": POST + b"X-A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}",
    "folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n" + ONE_CHUNK,
    "bare line feeds": POST.replace(b"\r\n", b"\n") + b"Content-Length: 2\n\n{}",
    "one bare line feed": POST + b"X: y\nContent-Length: 2\r\n\r\n{}",
    "bare carriage return": POST + b"X: y\rContent-Length: 2\r\n\r\n{}",
    "zero byte": POST + b"X: y\x00z\r\nContent-Length: 2\r\n\r\n{}",
    "chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n" + ONE_CHUNK,
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n" + ONE_CHUNK,
    "two codings": POST + b"Transfer-Encoding: gzip\r\n" + CHUNKED + ONE_CHUNK,
    "chunked twice": POST + CHUNKED + CHUNKED + ONE_CHUNK,
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n" + ONE_CHUNK,
    "no coding": POST + b"Transfer-Encoding: \r\n\r\n",
    "vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n" + ONE_CHUNK,
    "chunks in 1.0": POST.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\n" + CHUNKED + ONE_CHUNK,
    "chunk size 0x": POST + CHUNKED + b"\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "chunk size with sign": POST + CHUNKED + b"\r\n+2\r\n{}\r\n0\r\n\r\n",
    "negative chunk size": POST + CHUNKED + b"\r\n-2\r\n{}\r\n0\r\n\r\n",
    "chunk size and space": POST + CHUNKED + b"\r\n2 \r\n{}\r\n0\r\n\r\n",
    "chunk size beyond 64 bits": POST + CHUNKED + b"\r\nfffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
    "no chunk size": POST + CHUNKED + b"\r\n\r\n{}\r\n0\r\n\r\n",
    "chunk with bare line feeds": POST + CHUNKED + b"\r\n2\n{}\n0\n\n",
    "line feed in a chunk extension": POST + CHUNKED + b"\r\n2;a\n{}\r\n0\r\n\r\n",
    "chunk longer than its size": POST + CHUNKED + b"\r\n2\r\n{}x\r\n0\r\n\r\n",
    "length in a trailer": POST + CHUNKED + b"\r\n2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n",
    "two types": POST + b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
    "two hosts": b"GET /echo HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "no host": b"GET /echo HTTP/1.1\r\n\r\n",
    "version": b"GET /echo HTTP/1.2\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
async def test_what_could_be_read_in_two_ways_is_refused_and_the_connection_closes(echo, name):
    [(status, headers, body)] = await exchange(echo, SMUGGLING[name])
    assert (status, headers["connection"], body["error"]["type"]) == (400, "close", "invalid_request_error")
    assert "\n" not in body["error"]["message"]  # the parser shows what was sent, over several lines


async def test_a_client_that_is_still_sending_reads_why_it_is_refused(echo):
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
    writer.write(SMUGGLING["length and chunks"] + b"x" * 5_000_000)
    status, headers, _ = await read_answer(reader)
    assert (status, headers["connection"]) == (400, "close")
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


TAKEN = {
    "chunks": POST + CHUNKED + ONE_CHUNK,
    "chunks in capitals": POST + b"Transfer-Encoding: Chunked\r\n" + ONE_CHUNK,
    "chunk extension": POST + CHUNKED + b"\r\n2;a=b\r\n{}\r\n0\r\n\r\n",
    "trailer": POST + CHUNKED + b"\r\n2\r\n{}\r\n0\r\nX-T: 1\r\n\r\n",
    "length": POST + b"Content-Length: 2\r\n\r\n{}",
    "empty lines before": b"\r\n\r\n" + POST + b"Content-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("name", TAKEN)
async def test_what_has_one_meaning_is_taken(echo, name):
    assert [answer[0] for answer in await exchange(echo, TAKEN[name])] == [200, 200]


REFUSED = {
    "path": (POST.replace(b"/echo", b"/nowhere") + b"Content-Length: 2\r\n\r\n{}", 404),
    "method": (POST.replace(b"POST", b"PATCH") + b"Content-Length: 2\r\n\r\n{}", 405),
    "host": (POST.replace(b"localhost", b"evil.example") + b"Content-Length: 2\r\n\r\n{}", 403),
    "origin": (POST + b"Origin: https://evil.example\r\nContent-Length: 2\r\n\r\n{}", 403),
    "type": (POST.replace(b"json", b"xml") + b"Content-Length: 2\r\n\r\n{}", 415),
    "coding": (POST + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", 415),
    "expectation": (POST + b"Expect: miracles\r\nContent-Length: 2\r\n\r\n{}", 400),
    "json": (POST + b"Content-Length: 2\r\n\r\n{x", 400),
    "two keys": (POST + b"Authorization: Bearer a\r\nauthorization: Bearer a\r\nContent-Length: 2\r\n\r\n{}", 400),
    "another host in the target": (b"GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 403),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_after_a_refusal_the_next_request_is_answered(echo, name):
    data, status = REFUSED[name]
    assert [answer[0] for answer in await exchange(echo, data)] == [status, 200]


async def test_an_upgrade_that_is_not_taken_is_ignored_and_the_connection_closes(echo):
    """Java's client asks for HTTP/2 so at its first request, and aiohttp's parser would hear nothing of its second."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    [(status, headers, body)] = await exchange(echo, POST + upgrade + b"Content-Length: 8\r\n\r\n" + b'{"a": 1}')
    assert (status, headers["connection"], body) == (200, "close", {"a": 1})


# ---- 100 Continue ----

EXPECTING = b"Expect: 100-continue\r\nContent-Length: 41943040\r\n\r\n"
REFUSED_BY_HEADERS = {
    "path": (POST.replace(b"/echo", b"/nowhere"), 404),
    "method": (POST.replace(b"POST", b"PATCH"), 405),
    "host": (POST.replace(b"localhost", b"evil.example"), 403),
    "origin": (POST + b"Origin: https://evil.example\r\n", 403),
    "type": (POST.replace(b"json", b"xml"), 415),
    "coding": (POST + b"Content-Encoding: zstd\r\n", 415),
    "size": (POST, 413),
    "two expectations": (POST + b"Expect: miracles\r\n", 400),
    "two keys": (POST + b"Authorization: Bearer right\r\nAuthorization: Bearer right\r\n", 400),
    "key": (POST + b"Authorization: Bearer wrong\r\n", 401),
}


@pytest.mark.parametrize("name", REFUSED_BY_HEADERS)
async def test_a_body_that_would_be_refused_is_not_asked_for(echo, name):
    head, expected = REFUSED_BY_HEADERS[name]
    echo.rules = SecurityRules(tokens=("right",)) if name == "key" else SecurityRules()
    [(status, headers, _)] = await exchange_head(echo, head + EXPECTING)
    assert (status, headers["connection"]) == (expected, "close")  # the body might come all the same


async def exchange_head(echo, data):
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
    writer.write(data)
    try:
        return [await read_answer(reader)]
    finally:
        writer.close()


async def test_a_body_that_is_wanted_is_asked_for_once(echo):
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
    for _ in range(2):
        head, _, body = post_bytes(b'{"a": 1}', Expect="100-continue").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        status, headers, answer = await read_answer(reader)
        assert (status, answer, "connection" in headers) == (200, {"a": 1}, False)
    writer.close()


async def test_a_client_that_does_not_wait_to_be_asked(echo):
    """And is refused: what it sent already must not be taken for its next request."""
    echo.limits = BodyLimits(max_size=10)
    inner = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answers = await exchange_all(echo, post_bytes(inner, Expect="100-continue"))
    assert [status for status, _, _ in answers] == [413]


async def exchange_all(echo, data):
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
    writer.write(data)
    answers = []
    while True:
        try:
            answers.append(await read_answer(reader))
        except asyncio.IncompleteReadError:
            writer.close()
            return answers


async def test_http_1_0_is_never_told_to_continue(echo):
    data = post_bytes(b"{}", Expect="100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
    assert (await echo.raw(data))[0] == 200
