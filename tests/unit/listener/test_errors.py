"""Errors as answers."""

import asyncio

import pytest
import structlog
from aiohttp import web

from mlxd.config.address import TcpAddress
from mlxd.errors import InvalidRequestError, MlxdError, QueueFullError
from mlxd.listener.errors import error_response, openai_error_body
from mlxd.listener.server import Listener
from tests.unit.listener.conftest import Echo


@pytest.mark.parametrize(("seconds", "header"), [(0, "1"), (0.2, "1"), (1, "1"), (1.01, "2"), (30, "30")])
def test_retry_after_is_rounded_up(seconds, header):
    assert error_response(QueueFullError("full", retry_after=seconds)).headers["Retry-After"] == header


def test_shape():
    response = error_response(InvalidRequestError("wrong", param="messages[0].role"))
    assert response.status == 400
    expected = b'{"error": {"message": "wrong", "type": "invalid_request_error", "param": "messages[0].role", "code": "invalid_request"}}'
    assert response.body == expected
    assert "Retry-After" not in response.headers


RAISES = {
    "/mlxd": QueueFullError("full"),
    "/aiohttp": web.HTTPGone(),
    "/aiohttp5": web.HTTPBadGateway(),
    "/redirect": web.HTTPFound("/echo"),
    "/bug": KeyError("secret"),
    "/timeout": TimeoutError(),
    "/connection": ConnectionResetError("to somewhere else"),
    "/v2/{id}/special": InvalidRequestError("wrong"),
}


def special(error):
    return {"type": "error", "said": error.message}


@pytest.fixture
async def raising():
    made = Echo()
    app = made.application(error_body_of=lambda request: special if request.path.startswith("/v2/") else openai_error_body)

    def handler_of(error):
        async def handler(_request):
            raise error

        return handler

    for path, error in RAISES.items():
        app.router.add_get(path, handler_of(error))
    listener = Listener(app, [TcpAddress("127.0.0.1", 0)])
    await listener.start()
    made.port = listener.addresses[0].port
    yield made
    await listener.stop()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/mlxd", 429, "queue_full"),
        ("/aiohttp", 400, "invalid_request"),
        ("/aiohttp5", 500, "internal_error"),
        ("/bug", 500, "internal_error"),
        ("/timeout", 500, "internal_error"),
        ("/connection", 500, "internal_error"),
        ("/none", 404, "not_found"),
    ],
)
async def test_whatever_is_raised_becomes_an_answer(raising, path, status, code):
    got, headers, body = await raising.get(path)
    assert (got, body["error"]["code"]) == (status, code)
    assert "secret" not in str(body)
    assert headers["x-request-id"].startswith("req_")
    assert raising.errors == [code]


async def test_a_redirect_is_no_error(raising):
    reader, writer = await asyncio.open_connection("127.0.0.1", raising.port)
    writer.write(b"GET /redirect HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"302" in await reader.readline()
    assert raising.errors == []
    writer.close()


async def test_a_route_may_have_its_own_shape(raising):
    _, _, body = await raising.get("/v2/7/special")
    assert body == {"type": "error", "said": "wrong"}


async def test_bugs_are_logged_with_their_traceback(raising):
    with structlog.testing.capture_logs() as logs:
        await raising.get("/bug", x_request_id="mine")
    (entry,) = logs
    assert (entry["event"], entry["log_level"], entry["route"], entry["exc_info"]) == ("request_crashed", "error", "/bug", True)


async def test_methods(raising):
    status, headers, body = await raising.get("/echo", method="DELETE")
    assert (status, body["error"]["code"], headers["allow"]) == (405, "method_not_allowed", "GET,HEAD,POST")
    assert body["error"]["message"] == "DELETE is not allowed on /echo; use GET, HEAD, POST"


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"GET /echo HTTP/9.9\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 10_000 + b"\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=["garbage", "version", "header", "long-header", "negative-length", "two-lengths", "tls"],
)
async def test_malformed_http(echo, caplog, data):
    status, headers, body = await echo.raw(data)
    assert (status, body["error"]["type"], body["error"]["code"]) == (400, "invalid_request_error", "invalid_request")
    assert "malformed HTTP request" in body["error"]["message"]
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["x-request-id"].startswith("req_")
    assert caplog.records == []  # a scanner's noise fills no log
    assert (await echo.get())[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"secret" * 3000),
        b"GET /echo HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n" % (b"secret" * 3000),
        b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: %s\r\n\r\n" % (b"secret" * 3000),
    ],
    ids=["target", "header", "trailer"],
)
async def test_a_line_that_is_too_long_is_not_repeated(echo, data):
    _, _, body = await echo.raw(data)
    assert body["error"]["message"] == "malformed HTTP request: a line of its head is longer than 8190 bytes"


@pytest.mark.parametrize("line", [b"secret", b"sec ret: x", b"X: sec\0ret", b": secret", b"X: y\r\n secret"])
async def test_a_header_that_is_malformed_is_not_repeated(echo, line):
    _, _, body = await echo.raw(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n" % line)
    assert body["error"]["message"].startswith("malformed HTTP request: ")
    assert "sec" not in body["error"]["message"]


def test_every_error_has_a_status_that_http_knows():
    def tree(kind):
        yield kind
        for child in kind.__subclasses__():
            yield from tree(child)

    assert all(400 <= kind.status < 600 for kind in tree(MlxdError))
