"""Commands and the admin listener, over real sockets; and every way of finding no daemon."""

import asyncio
import socket
import subprocess
import sys
import threading

import pytest

from mlxd.admin.app import build_admin_app
from mlxd.config.address import TcpAddress, parse_address
from mlxd.errors import ConfigError, DaemonUnreachableError, ModelNotFoundError, NotFoundError, UnauthorizedError
from mlxd.listener.security import SecurityRules
from mlxd.listener.server import Listener
from mlxd.terminal.admin_client import AdminClient, Body, model_path
from tests.support.statuses import SHA256, FakeDaemon, running_status


def fetch_status(address, token="", timeout=10.0):
    return AdminClient(address, token).get("/admin/v1/status", timeout=timeout)


@pytest.fixture
def daemon():
    return FakeDaemon(running_status("tiny"), running_status("org/Name:4bit"))


@pytest.fixture
async def serve(daemon):
    started = []

    async def start(address, rules=lambda: SecurityRules(content_types=frozenset({"application/json", "application/toml"}))):
        listener = Listener(build_admin_app(daemon.sources, rules), [parse_address(address)])
        await listener.start()
        started.append(listener)
        return listener.addresses[0]

    yield start
    for listener in started:
        await listener.stop()


@pytest.fixture
def answer():
    """A program that is not mlxd: it answers one connection with ``raw`` and closes."""
    threads = []

    def start(raw):
        server = socket.create_server(("127.0.0.1", 0))

        def run():
            with server:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(raw)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return TcpAddress("127.0.0.1", server.getsockname()[1])

    yield start
    for thread in threads:
        thread.join()


@pytest.fixture
def unused():
    """A port nobody listens on, kept from others by being bound."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield TcpAddress("127.0.0.1", held.getsockname()[1])


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_status_of_a_running_daemon(serve, tmp_path, kind):
    address = await serve("127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/admin.sock")
    status = await asyncio.to_thread(fetch_status, address)
    assert (status["pid"], status["models"][0]["id"]) == (41, "tiny")


async def test_the_token_is_sent_and_a_refusal_is_typed(serve):
    address = await serve("127.0.0.1:0", lambda: SecurityRules(read_tokens=("read",)))
    assert (await asyncio.to_thread(fetch_status, address, "read"))["pid"] == 41
    with pytest.raises(UnauthorizedError, match="a token is required"):
        await asyncio.to_thread(fetch_status, address)


async def test_errors_come_back_typed(serve):
    address = await serve("127.0.0.1:0")
    with pytest.raises(ModelNotFoundError, match='no model is named "x"') as caught:
        await asyncio.to_thread(AdminClient(address).get, model_path("x"))
    assert caught.value.param == "model"


async def test_what_is_asked_for_is_sent(serve, daemon):
    client = AdminClient(await serve("127.0.0.1:0"))
    assert (await asyncio.to_thread(client.put, "/admin/v1/log-level", Body.json({"level": "debug"}))) == {"level": "debug"}
    assert daemon.log_level == "debug"
    await asyncio.to_thread(client.post, "/admin/v1/config/diff", Body.toml('[server]\nlisten = "x" # ü'))
    assert daemon.reloads.asked == [("compare", '[server]\nlisten = "x" # ü')]
    sent = {"If-Match": f'"{SHA256}"'}
    answer = await asyncio.to_thread(lambda: client.send("POST", "/admin/v1/reload", headers=sent))
    assert (answer.status, answer.is_error, answer.document["result"]) == (200, False, "unchanged")
    assert daemon.reloads.asked[-1] == ("reload", "api", SHA256)


async def test_what_does_not_exist_cannot_be_deleted(serve):
    client = AdminClient(await serve("127.0.0.1:0"))
    with pytest.raises(NotFoundError):
        await asyncio.to_thread(client.delete, model_path("tiny", "requests", "chatcmpl/1 ?"))


async def test_an_invalid_configuration_is_a_typed_error_with_every_problem(serve):
    client = AdminClient(await serve("127.0.0.1:0"))
    with pytest.raises(ConfigError) as caught:
        await asyncio.to_thread(client.post, "/admin/v1/config/validate", Body.toml("x = 1"))
    assert caught.value.problems == ["mlxd.toml:1: models: no model is configured"]


async def test_ids_may_have_slashes_and_requests_may_not(serve):
    client = AdminClient(await serve("127.0.0.1:0"))
    assert (await asyncio.to_thread(client.get, model_path("org/Name:4bit")))["id"] == "org/Name:4bit"
    assert model_path("org/Name ü?", "requests", "a/b") == "/admin/v1/models/org/Name%20%C3%BC%3F/requests/a%2Fb"


async def test_a_call_without_a_timeout_waits_as_long_as_it_takes(serve, daemon, monkeypatch):
    begun, may_settle = asyncio.Event(), asyncio.Event()

    async def settle(_):
        begun.set()
        await may_settle.wait()

    monkeypatch.setattr(daemon.models, "wait_model_settled", settle)
    client = AdminClient(await serve("127.0.0.1:0"))
    call = asyncio.create_task(asyncio.to_thread(client.post, f"{model_path('tiny', 'load')}?wait=1", timeout=None))
    await begun.wait()
    assert not call.done()
    may_settle.set()
    assert (await call)["state"] == "succeeded"


def test_the_token_is_not_in_what_is_printed_of_a_client():
    assert "secret" not in repr(AdminClient(TcpAddress("127.0.0.1", 1), "secret"))


async def test_a_daemon_that_listens_everywhere_is_asked_on_loopback(serve):
    address = await serve("127.0.0.1:0")
    everywhere = TcpAddress("0.0.0.0", address.port)  # noqa: S104 - connected to, not bound
    assert (await asyncio.to_thread(fetch_status, everywhere))["pid"] == 41


def test_no_socket_file(tmp_path):
    with pytest.raises(DaemonUnreachableError, match=r"no daemon listens on unix:.*start it with"):
        fetch_status(parse_address(f"unix:{tmp_path}/admin.sock"))


def test_a_stale_socket_file(tmp_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "admin.sock"))
    with pytest.raises(DaemonUnreachableError, match="no daemon listens"):
        fetch_status(parse_address(f"unix:{tmp_path}/admin.sock"))


def test_nobody_on_the_port(unused):
    with pytest.raises(DaemonUnreachableError, match=r"no daemon listens on 127\.0\.0\.1"):
        fetch_status(unused)


def test_a_daemon_that_never_answers():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = TcpAddress("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(DaemonUnreachableError, match=r"no answer from 127\.0\.0\.1"):
            fetch_status(address, timeout=0.05)


def test_a_port_the_system_chose_is_not_known():
    with pytest.raises(DaemonUnreachableError, match="name the real one"):
        fetch_status(TcpAddress("127.0.0.1", 0))


def test_a_host_that_does_not_exist(monkeypatch):
    def unknown(*_args, **_kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DaemonUnreachableError, match="no such host"):
        fetch_status(TcpAddress("no-such-host.invalid", 8001))


def test_a_host_name_no_resolver_takes():
    with pytest.raises(DaemonUnreachableError, match="no such host"):
        fetch_status(TcpAddress("x" * 70, 8001))


@pytest.mark.parametrize("token", ["line\nbreak", "schlüssel", "\ud800"])
def test_a_token_no_header_can_carry(token, unused):
    with pytest.raises(UnauthorizedError, match="no header can carry"):
        fetch_status(unused, token)


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe",
        b'HTTP/1.1 500 No\r\nContent-Length: 14\r\n\r\n{"error": "no"}'[:-1],
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
    ],
)
def test_something_else_answers(answer, raw):
    with pytest.raises(DaemonUnreachableError):
        fetch_status(answer(raw))


def test_an_error_of_another_shape_is_no_mlxd(answer):
    raw = b'HTTP/1.1 404 Not Found\r\nContent-Length: 20\r\n\r\n{"detail":"missing"}'
    with pytest.raises(DaemonUnreachableError, match="not mlxd's admin listener"):
        fetch_status(answer(raw))


def test_it_starts_without_a_server_library():
    script = "import mlxd.terminal.admin_client, sys; print(*{'aiohttp', 'asyncio', 'mlx', 'prometheus_client'} & sys.modules.keys())"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"
