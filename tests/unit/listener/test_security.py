"""Who may ask. Every refusal has the shared error body and is heard of by ``on_error``."""

import pytest
import structlog

from mlxd.config.address import TcpAddress, UnixAddress, parse_address
from mlxd.config.schema import AdminTable, MetricsTable, ServerTable
from mlxd.listener.security import SecurityRules, admin_rules, inference_rules, metrics_rules
from mlxd.listener.server import Listener
from tests.unit.listener.conftest import Echo, post_bytes

ORIGIN = "https://chat.example"


async def test_an_open_listener_answers(echo):
    status, headers, body = await echo.get()
    assert (status, body) == (200, {"role": "open"})
    assert "access-control-allow-origin" not in headers


# ---- Host: DNS rebinding ----


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "localhost.", "127.0.0.1", "127.0.0.1:8000", "127.9.9.9", "[::1]", "[::1]:99"]
)
async def test_loopback_hosts_pass(echo, host):
    assert (await echo.get(host=host))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "192.168.1.5",
        "127.0.0.1.evil.example",
        "a b",
        "",
        "[::1",
        "::1",
        "x@localhost",
    ],
)
async def test_other_hosts_are_refused(echo, host):
    status, _, body = await echo.get(host=host)
    assert (status, body["error"]["code"]) == (403, "forbidden")
    assert echo.errors == ["forbidden"]


async def test_allowed_hosts_pass_whatever_the_port(echo):
    rules = inference_rules(ServerTable(listen=(parse_address("192.168.7.7:8000"),), allowed_hosts=("Mac.Local", "fd00::1")))
    echo.rules = rules
    for host in ("mac.local:1234", "MAC.LOCAL", "192.168.7.7:8000", "[fd00::1]:1", "[FD00:0::1]"):
        assert (await echo.get(host=host))[0] == 200
    assert (await echo.get(host="mac.local.evil"))[0] == 403


async def test_the_address_a_connection_came_in_by_is_a_host():
    """A listener on all addresses is asked by whichever of them; another machine's is still refused."""
    made = Echo()
    listener = Listener(made.application(), [TcpAddress("127.0.0.2", 0)])
    await listener.start()
    try:
        made.rules = SecurityRules()
        made.port = listener.addresses[0].port
        import asyncio  # noqa: PLC0415

        reader, writer = await asyncio.open_connection("127.0.0.2", made.port)
        writer.write(b"GET /echo HTTP/1.1\r\nHost: 127.0.0.2\r\n\r\n")
        assert b"200 OK" in await reader.readline()
        writer.close()
    finally:
        await listener.stop()


async def test_no_host_and_two_hosts(echo):
    assert (await echo.raw(b"GET /echo HTTP/1.0\r\n\r\n"))[0] == 200  # a load balancer's probe
    assert (await echo.raw(b"GET /echo HTTP/1.0\r\nHost: evil.example\r\n\r\n"))[0] == 403
    for data in (b"GET /echo HTTP/1.1\r\n\r\n", b"GET /echo HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n"):
        status, _, body = await echo.raw(data)
        assert (status, body["error"]["type"]) == (400, "invalid_request_error")


async def test_a_unix_socket_needs_no_host(tmp_path):
    import asyncio  # noqa: PLC0415

    made = Echo()
    listener = Listener(made.application(), [UnixAddress(tmp_path / "s")])
    await listener.start()
    try:
        for host in (b"", b"Host: anything.example\r\n"):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
            writer.write(b"GET /echo HTTP/1.0\r\n" + host + b"\r\n")
            assert b"200 OK" in await reader.readline()
            writer.close()
    finally:
        await listener.stop()


# ---- what only attacks send ----


async def test_upgrades_and_no_cors_are_refused_first(echo):
    for headers in ({"Upgrade": "websocket", "Connection": "Upgrade"}, {"Upgrade": "WebSocket"}, {"Sec_Fetch_Mode": "no-cors"}):
        status, _, body = await echo.get(**headers)
        assert (status, body["error"]["code"]) == (403, "forbidden")
    assert (await echo.get(Sec_Fetch_Mode="cors"))[0] == 200


# ---- Origin ----


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:8000", "https://chat.example.evil", "http://chat.example"]
)
async def test_origins_that_are_not_listed(echo, origin):
    echo.rules = SecurityRules(origins=(ORIGIN,))
    status, headers, _ = await echo.get(Origin=origin)
    assert status == 403
    assert "access-control-allow-origin" not in headers


async def test_a_listed_origin(echo):
    echo.rules = SecurityRules(origins=(ORIGIN,))
    status, headers, _ = await echo.get(Origin=ORIGIN)
    assert (status, headers["access-control-allow-origin"], headers["vary"]) == (200, ORIGIN, "Origin")
    assert "x-mlxd-cache" in headers["access-control-expose-headers"]


async def test_errors_are_readable_for_a_listed_origin(echo):
    echo.rules = SecurityRules(origins=(ORIGIN,), tokens=("t",))
    status, headers, _ = await echo.get(Origin=ORIGIN)
    assert (status, headers["access-control-allow-origin"]) == (401, ORIGIN)


async def test_every_origin_where_the_operator_says_so(echo):
    echo.rules = SecurityRules(origins=("*",))
    _, headers, _ = await echo.get(Origin="https://any.example")
    assert headers["access-control-allow-origin"] == "https://any.example"


@pytest.mark.parametrize(
    ("listed", "origin", "status"),
    [
        ("app://obsidian.md", "app://obsidian.md", 200),
        ("tauri://localhost", "tauri://localhost", 200),
        ("capacitor://localhost", "capacitor://localhost", 200),
        ("vscode-webview://*", "vscode-webview://0a1b2c", 200),
        ("chrome-extension://*", "chrome-extension://abcdef", 200),
        ("chrome-extension://*", "moz-extension://abcdef", 403),
        ("chrome-extension://abc", "chrome-extension://abd", 403),
        ("null", "null", 200),
        ("https://chat.example", "null", 403),
        ("app://*", "https://evil.example", 403),
    ],
)
async def test_origins_of_desktop_apps(echo, listed, origin, status):
    echo.rules = SecurityRules(origins=(listed,))
    got, headers, _ = await echo.get(Origin=origin)
    assert (got, headers.get("access-control-allow-origin")) == (status, origin if status == 200 else None)


async def test_the_log_tells_of_a_refused_origin_once(echo):
    with structlog.testing.capture_logs() as logs:
        for origin in ("app://new", "app://new", "x" * 5000):
            assert (await echo.get(Origin=origin))[0] == 403
    assert [line["event"] for line in logs] == ["origin_refused", "origin_refused"]
    assert logs[0]["origin"] == "app://new"
    assert len(logs[1]["origin"]) < 500


async def test_the_metrics_listener_is_asked_by_its_own_name(echo):
    listen = (parse_address("metrics.example:9464"),)
    echo.rules = metrics_rules(AdminTable(allowed_hosts=("prometheus.example",)), MetricsTable(listen=listen))
    assert (await echo.get(host="metrics.example:9464"))[0] == 200
    assert (await echo.get(host="prometheus.example"))[0] == 200
    assert (await echo.get(host="evil.example"))[0] == 403


async def test_a_container_is_asked_by_its_name(echo):
    echo.rules = inference_rules(ServerTable(allowed_hosts=("mlxd", "host.docker.internal", "my_service")))
    for host in ("mlxd:8000", "host.docker.internal:8000", "my_service"):
        assert (await echo.get(host=host))[0] == 200


async def test_preflight(echo):
    echo.rules = SecurityRules(origins=(ORIGIN,), tokens=("t",))
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization, x-stainless-os"}
    status, headers, _ = await echo.get(method="OPTIONS", Origin=ORIGIN, **asked)
    assert status == 204  # without a token: browsers send none
    assert headers["access-control-allow-origin"] == ORIGIN
    assert headers["access-control-allow-methods"] == "GET, HEAD, POST, DELETE, OPTIONS"
    assert headers["access-control-allow-headers"] == "authorization, x-stainless-os"
    assert (await echo.get(method="OPTIONS", Origin="https://evil.example", **asked))[0] == 403
    assert (await echo.get(method="OPTIONS", **asked))[0] == 401  # no browser: an ordinary request


async def test_preflight_for_a_private_network(echo):
    echo.rules = SecurityRules(origins=(ORIGIN,))
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Private_Network": "true"}
    _, headers, _ = await echo.get(method="OPTIONS", Origin=ORIGIN, **asked)
    assert headers["access-control-allow-private-network"] == "true"


async def test_the_admin_listener_knows_no_origin(echo):
    echo.rules = admin_rules(AdminTable())
    assert (await echo.get(Origin="http://localhost"))[0] == 403


# ---- bodies ----


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml"])
async def test_forms_cannot_send_bodies(echo, kind):
    status, _, body = await echo.post(b"{}", Content_Type=kind)
    assert (status, body["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", 'Application/JSON; charset="UTF-8"'])
async def test_json_passes(echo, kind):
    assert (await echo.post(b'{"a": 1}', Content_Type=kind))[::2] == (200, {"a": 1})


# ---- tokens ----


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer one", 200),
        ("bearer  two ", 200),
        ("Bearer tw", 401),
        ("Bearer onetwo", 401),
        ("Bearer ", 401),
        ("Bearer", 401),
        ("one", 401),
        ("Basic one", 401),
        ("Bearer \udcff", 401),
    ],
)
async def test_tokens(echo, header, status):
    echo.rules = SecurityRules(tokens=("one", "two"))
    got, headers, body = await echo.get(Authorization=header)
    assert got == status
    assert ("www-authenticate" in headers) == (status == 401)
    if status == 200:
        assert body == {"role": "full"}
    else:
        assert (body["error"]["code"], body["error"]["type"]) == ("invalid_api_key", "authentication_error")


async def test_no_token(echo):
    echo.rules = SecurityRules(tokens=("one",))
    status, headers, body = await echo.get()
    assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="mlxd"')
    assert "Authorization: Bearer" in body["error"]["message"]


async def test_what_exists_is_not_told_without_a_token(echo):
    echo.rules = SecurityRules(tokens=("one",))
    assert (await echo.get("/nowhere"))[0] == 401
    assert (await echo.get(method="DELETE"))[0] == 401


async def test_health_needs_no_token_and_metrics_do(echo):
    echo.rules = SecurityRules(tokens=("one",))
    assert (await echo.get("/health"))[0] == 200
    assert (await echo.get("/metrics"))[0] == 401
    assert (await echo.get("/health", host="evil.example"))[0] == 403
    assert (await echo.get("/health", method="POST"))[0] == 401


async def test_the_reading_token_may_read(echo):
    echo.rules = admin_rules(AdminTable(token="all", read_token="look"))
    assert (await echo.get(Authorization="Bearer look"))[::2] == (200, {"role": "read"})
    assert (await echo.get(method="HEAD", Authorization="Bearer look"))[0] == 200
    status, _, body = await echo.post(b"{}", Authorization="Bearer look")
    assert (status, body["error"]["code"]) == (403, "forbidden")
    assert (await echo.post(b"{}", Authorization="Bearer all"))[0] == 200


async def test_rules_are_live(echo):
    assert (await echo.get())[0] == 200
    echo.rules = SecurityRules(tokens=("new",))
    assert (await echo.get())[0] == 401
    assert (await echo.get(Authorization="Bearer new"))[0] == 200


async def test_order(echo):
    """The first check that fails decides: nobody learns about tokens from a wrong Host."""
    echo.rules = SecurityRules(tokens=("one",))
    everything = {"Origin": "https://evil.example", "Sec_Fetch_Mode": "no-cors"}
    bad = post_bytes(b"{}", Content_Type="text/plain", **everything).replace(b"Host: localhost", b"Host: evil")
    for step, message in (
        (b"Sec-Fetch-Mode: no-cors\r\n", "Sec-Fetch-Mode"),
        (b"Host: evil", "Host"),
        (b"Origin: https://evil.example\r\n", "Origin"),
        (b"text/plain", "Content-Type"),
        (b"", "token"),
    ):
        _, _, body = await echo.raw(bad)
        assert message in body["error"]["message"]
        bad = bad.replace(step, {b"Host: evil": b"Host: localhost", b"text/plain": b"application/json"}.get(step, b""), 1) if step else bad


def test_rules_from_the_configuration():
    rules = inference_rules(ServerTable(api_keys=("k",), cors_origins=(ORIGIN,), listen=("127.0.0.1:1", "unix:/x", "[::]:2")))
    assert rules == SecurityRules(tokens=("k",), origins=(ORIGIN,), hosts=frozenset({"127.0.0.1", "::"}), takes_api_key_header=True)
    assert admin_rules(AdminTable()) == SecurityRules()
