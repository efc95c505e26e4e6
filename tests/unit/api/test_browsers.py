"""Pages and desktop apps: whatever they get for an answer, they can read it, and ask first without a key."""

import pytest

from mlxd.errors import ModelLoadingError, QueueFullError
from tests.support.fake_registry import echo
from tests.unit.api.conftest import HELLO

APP = "app://obsidian.md"
KEY = {"Authorization": "Bearer key"}
PATHS = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/messages",
    "/v1/responses",
    "/v1/models",
    "/v1/models/tiny",
    "/tokenize",
    "/nowhere",
]
SDK = (
    "content-type,x-api-key,authorization,anthropic-version,anthropic-beta,anthropic-dangerous-direct-browser-access,"
    "x-stainless-arch,x-stainless-helper-method,x-stainless-retry-count,x_odd.name"
)


@pytest.fixture
def door(server):
    server.set_server(cors_origins=(APP, "vscode-webview://*"), api_keys=("key",), max_body=10_000)
    server.worker.script = echo
    return server


def is_readable(headers, origin=APP):
    exposed = {name.strip() for name in headers.get("Access-Control-Expose-Headers", "").split(",")}
    wanted = {"x-request-id", "retry-after", "x-ratelimit-remaining-tokens", "anthropic-ratelimit-input-tokens-reset", "x-mlxd-cache"}
    return headers.get("Access-Control-Allow-Origin") == origin and "Origin" in headers.get("Vary", "") and wanted <= exposed


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_asks_first_without_a_key(door, path):
    asked = {"Origin": APP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": SDK}
    async with door.session.options(door.url + path, headers=asked) as response:
        assert response.status == 204
        assert is_readable(response.headers)
        assert response.headers["Access-Control-Allow-Headers"] == SDK
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert int(response.headers["Access-Control-Max-Age"]) > 0


async def test_no_other_page_is_answered(door):
    asked = {"Origin": "app://other", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "POST"):
        async with door.session.request(method, f"{door.url}/v1/chat/completions", headers=asked | KEY) as response:
            assert response.status == 403
            assert "Access-Control-Allow-Origin" not in response.headers
            assert "Origin" in response.headers["Vary"]
            assert '"app://other"' in (await response.json())["error"]["message"]


def raising(error):
    def change(server):
        server.model.error = error

    return change


def crashing(server):
    server.registry.ensure_ready = None


def keep(_server):
    """Leaves all as it is."""


REFUSALS = {
    "key": (keep, {"json": HELLO, "headers": {"Authorization": "Bearer wrong"}}, 401),
    "host": (keep, {"json": HELLO, "headers": KEY | {"Host": "evil.example"}}, 403),
    "no-cors": (keep, {"json": HELLO, "headers": KEY | {"Sec-Fetch-Mode": "no-cors"}}, 403),
    "field": (keep, {"json": HELLO | {"temperature": 9}, "headers": KEY}, 400),
    "expectation": (keep, {"json": HELLO, "headers": KEY | {"Expect": "miracles"}}, 400),
    "model": (keep, {"json": HELLO | {"model": "nope"}, "headers": KEY}, 404),
    "path": (keep, {"json": HELLO, "headers": KEY, "path": "/v1/nowhere"}, 404),
    "method": (keep, {"json": HELLO, "headers": KEY, "method": "PUT"}, 405),
    "size": (keep, {"json": HELLO | {"user": "x" * 20_000}, "headers": KEY}, 413),
    "form": (keep, {"data": {"a": "b"}, "headers": KEY}, 415),
    "coding": (keep, {"json": HELLO, "headers": KEY | {"Content-Encoding": "br"}}, 415),
    "queue": (raising(QueueFullError("full", retry_after=2)), {"json": HELLO, "headers": KEY}, 429),
    "loading": (raising(ModelLoadingError("loads", retry_after=2)), {"json": HELLO, "headers": KEY}, 503),
    "crash": (crashing, {"json": HELLO, "headers": KEY}, 500),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_every_refusal_can_be_read(door, name):
    change, sent, status = REFUSALS[name]
    change(door)
    method, path = sent.get("method", "POST"), sent.get("path", "/v1/chat/completions")
    options = {key: value for key, value in sent.items() if key in ("json", "data")}
    async with door.session.request(method, door.url + path, **options, headers={"Origin": APP} | sent["headers"]) as response:
        assert response.status == status
        assert is_readable(response.headers)
        assert (await response.json())["error"]["message"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_answers_and_streams_can_be_read(door, streamed):
    origin = "vscode-webview://0a1b2c3d"
    async with door.post(HELLO | {"stream": streamed}, headers=KEY | {"Origin": origin}) as response:
        assert response.status == 200
        assert is_readable(response.headers, origin)
        assert "hello" in await response.text()


async def test_a_cache_is_told_that_answers_differ_by_origin(door):
    async with door.session.get(f"{door.url}/v1/models", headers=KEY) as response:
        assert response.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Origin" not in response.headers
