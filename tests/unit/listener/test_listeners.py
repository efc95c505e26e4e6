"""How listeners move while they serve: on real sockets, with requests under way."""

import asyncio
import contextlib
import socket
import stat
import subprocess
import sys

import psutil
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from mlxd.config.address import TcpAddress, UnixAddress, parse_address
from mlxd.errors import ListenError
from mlxd.listener.listeners import Listeners, Move
from mlxd.listener.security import SecurityRules
from mlxd.listener.server import Listener
from tests.support.patience import PATIENCE
from tests.unit.listener.conftest import Echo, read_answer

ANY = TcpAddress("127.0.0.1", 0)


class Rig:
    """Two listeners that answer with their role; ``/hold`` answers when the test says so."""

    def __init__(self):
        self.listeners = None
        self.held = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def start(self, *, inference=(ANY,), admin=(ANY,)):
        wanted = {"inference": inference, "admin": admin}
        self.listeners = Listeners({role: Listener(self._app(role), addresses) for role, addresses in wanted.items()})
        await self.listeners.start()
        return self.listeners

    def _app(self, role):
        async def answer(request):
            if request.path == "/hold":
                self.held.set()
                await self.may_answer.wait()
            return web.Response(text=role)

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        return app

    def port(self, role="inference"):
        [address] = self.listeners.addresses(role)
        return address.port

    async def move(self, *moves):
        prepared = self.listeners.prepare(moves)
        self.listeners.close_old(prepared)
        self.listeners.serve_new(prepared)


@pytest.fixture
async def rig():
    made = Rig()
    yield made
    made.may_answer.set()
    if made.listeners is not None:
        await made.listeners.stop()


def connect(address):
    if isinstance(address, UnixAddress):
        return asyncio.open_unix_connection(address.path)
    return asyncio.open_connection(address.host, address.port)


async def finish(reader, writer):
    """The answer's text."""
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    return answer.decode().rpartition("\r\n")[2]


async def ask(address, path="/"):
    """Who answers there; None: nobody."""
    try:
        reader, writer = await connect(address)
    except OSError:
        return None
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return await finish(reader, writer)


async def hold(rig, address):
    """A request that is under way."""
    asked = asyncio.create_task(ask(address, "/hold"))
    await asyncio.wait_for(rig.held.wait(), PATIENCE)
    return asked


@contextlib.contextmanager
def another_program(host="127.0.0.1", port=0):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.bind((host, port))
        sock.listen()
        yield sock.getsockname()[1]


def has_ipv6():
    try:
        with another_program("::1"):
            return True
    except OSError:
        return False


@pytest.fixture
def localhost_is_two(monkeypatch):
    """127.0.0.1 and ::1, whatever this machine's own tables say."""
    resolve = socket.getaddrinfo

    def both(host, *args, **kwargs):
        return [found for one in (("127.0.0.1", "::1") if host == "localhost" else (host,)) for found in resolve(one, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", both)


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# ---- a move ----


async def test_the_new_address_is_bound_before_the_old_one_closes(rig, tmp_path):
    new = UnixAddress(tmp_path / "s")
    listeners = await rig.start()
    old = TcpAddress("127.0.0.1", rig.port())
    prepared = listeners.prepare([Move("inference", opened=(new,), closed=(ANY,))])
    early = asyncio.create_task(ask(new))  # connected, and waits for its answer
    assert await ask(old) == "inference"
    assert not early.done()
    listeners.close_old(prepared)
    assert await ask(old) is None
    listeners.serve_new(prepared)
    assert await early == await ask(new) == "inference"
    assert listeners.addresses("inference") == (new,)


async def test_a_request_under_way_on_the_old_address_finishes(rig, tmp_path):
    await rig.start()
    old = TcpAddress("127.0.0.1", rig.port())
    under_way = await hold(rig, old)
    await rig.move(Move("inference", opened=(UnixAddress(tmp_path / "s"),), closed=(ANY,)))
    assert await ask(old) is None
    rig.may_answer.set()
    assert await under_way == "inference"


async def test_a_move_touches_no_other_listener(rig, tmp_path):
    await rig.start()
    admin = TcpAddress("127.0.0.1", rig.port("admin"))
    await rig.move(Move("inference", opened=(UnixAddress(tmp_path / "s"),), closed=(ANY,)))
    assert await ask(admin) == "admin"
    assert rig.listeners.bound == (("inference", UnixAddress(tmp_path / "s")), ("admin", admin))


async def test_one_address_more_and_one_less(rig, tmp_path):
    await rig.start()
    old, more = TcpAddress("127.0.0.1", rig.port()), UnixAddress(tmp_path / "s")
    await rig.move(Move("inference", opened=(more,), closed=()))
    assert await ask(old) == await ask(more) == "inference"
    await rig.move(Move("inference", opened=(), closed=(more,)))
    assert (await ask(old), await ask(more)) == ("inference", None)


async def test_there_and_back_again(rig, tmp_path):
    new = UnixAddress(tmp_path / "s")
    await rig.start()
    for _ in range(3):
        await rig.move(Move("inference", opened=(new,), closed=(ANY,)))
        assert await ask(new) == "inference"
        await rig.move(Move("inference", opened=(ANY,), closed=(new,)))
        assert await ask(TcpAddress("127.0.0.1", rig.port())) == "inference"
        assert await ask(new) is None


async def test_a_listener_without_an_address_gets_one(rig, tmp_path):
    """As metrics do that had none of their own."""
    await rig.start(admin=())
    new = UnixAddress(tmp_path / "s")
    await rig.move(Move("admin", opened=(new,), closed=()))
    assert await ask(new) == "admin"


# ---- what cannot be bound ----


async def test_where_one_cannot_be_bound_none_is_and_the_old_ones_serve_on(rig, tmp_path):
    listeners = await rig.start()
    old, first = TcpAddress("127.0.0.1", rig.port()), UnixAddress(tmp_path / "s")
    with another_program() as taken, pytest.raises(ListenError, match=f"127.0.0.1:{taken}: another program listens there"):
        listeners.prepare(
            [Move("inference", opened=(first,), closed=(ANY,)), Move("admin", opened=(TcpAddress("127.0.0.1", taken),), closed=(ANY,))]
        )
    assert not first.path.exists()
    assert await ask(old) == "inference"
    assert await ask(TcpAddress("127.0.0.1", rig.port("admin"))) == "admin"


@needs_ipv6
async def test_an_old_one_that_had_to_close_first_is_opened_again(rig, localhost_is_two):
    """The old one listens on 127.0.0.1, and another program on ::1."""
    listeners = await rig.start()
    old = TcpAddress("127.0.0.1", rig.port())
    under_way = await hold(rig, old)
    with another_program("::1", old.port), pytest.raises(ListenError, match=f"localhost:{old.port}"):
        listeners.prepare([Move("inference", opened=(TcpAddress("localhost", old.port),), closed=(ANY,))])
    assert listeners.addresses("inference") == (old,)
    assert await ask(old) == "inference"
    rig.may_answer.set()
    assert await under_way == "inference"
    await rig.move(Move("inference", opened=(TcpAddress("localhost", old.port),), closed=(ANY,)))  # it is still known by its name
    assert await ask(TcpAddress("::1", old.port)) == "inference"


async def test_one_that_was_taken_in_the_moment_it_was_free_is_lost_and_said_so(rig):
    listeners = await rig.start()
    old = TcpAddress("127.0.0.1", rig.port())
    prepared = listeners.prepare([Move("inference", opened=(old,), closed=(ANY,))])  # the port the system chose, by its number
    with contextlib.ExitStack() as quick, capture_logs() as logs:
        for _, _, bound in prepared.bound:
            bound.close()
        quick.enter_context(another_program(port=old.port))
        listeners.roll_back(prepared)
    assert [(entry["event"], entry["address"]) for entry in logs] == [("listener_lost", str(old))]
    assert listeners.addresses("inference") == ()
    assert await ask(TcpAddress("127.0.0.1", rig.port("admin"))) == "admin"


# ---- addresses that overlap ----


async def test_two_listeners_change_places(rig):
    await rig.start()
    inference, admin = (TcpAddress("127.0.0.1", rig.port(role)) for role in ("inference", "admin"))
    under_way = await hold(rig, inference)
    await rig.move(Move("inference", opened=(admin,), closed=(ANY,)), Move("admin", opened=(inference,), closed=(ANY,)))
    assert (await ask(inference), await ask(admin)) == ("admin", "inference")
    rig.may_answer.set()
    assert await under_way == "inference"


async def test_two_unix_sockets_change_places(rig, tmp_path):
    one, other = UnixAddress(tmp_path / "one"), UnixAddress(tmp_path / "other")
    await rig.start(inference=(one,), admin=(other,))
    await rig.move(Move("inference", opened=(other,), closed=(one,)), Move("admin", opened=(one,), closed=(other,)))
    assert (await ask(one), await ask(other)) == ("admin", "inference")
    await rig.move(Move("inference", opened=(one,), closed=(other,)), Move("admin", opened=(other,), closed=(one,)))
    assert (await ask(one), await ask(other)) == ("inference", "admin")


@needs_ipv6
async def test_a_name_that_stands_for_the_old_address_and_another(rig, localhost_is_two):
    await rig.start()
    port = rig.port()
    name = TcpAddress("localhost", port)
    await rig.move(Move("inference", opened=(name,), closed=(ANY,)))
    assert await ask(TcpAddress("127.0.0.1", port)) == await ask(TcpAddress("::1", port)) == "inference"
    narrow = TcpAddress("127.0.0.1", port)
    await rig.move(Move("inference", opened=(narrow,), closed=(name,)))
    assert await ask(narrow) == "inference"
    assert await ask(TcpAddress("::1", port)) is None


@needs_ipv6
async def test_the_same_port_of_another_address_does_not_overlap(rig):
    """So the old one is open until the new one is bound."""
    listeners = await rig.start()
    old = TcpAddress("127.0.0.1", rig.port())
    new = TcpAddress("::1", old.port)
    prepared = listeners.prepare([Move("inference", opened=(new,), closed=(ANY,))])
    assert prepared.suspended == []
    assert await ask(old) == "inference"
    listeners.close_old(prepared)
    listeners.serve_new(prepared)
    assert (await ask(old), await ask(new)) == (None, "inference")


async def test_a_port_that_the_system_chose_is_kept_by_its_number(rig):
    await rig.start()
    same = TcpAddress("127.0.0.1", rig.port())
    await rig.move(Move("inference", opened=(same,), closed=(ANY,)))
    assert await ask(same) == "inference"


# ---- unix sockets ----


async def test_a_moved_unix_socket_leaves_no_file_and_is_its_owner_s(rig, tmp_path):
    old, new = UnixAddress(tmp_path / "old"), UnixAddress(tmp_path / "deep" / "new")
    await rig.start(admin=(old,))
    assert mode(old.path) == 0o600
    await rig.move(Move("admin", opened=(new,), closed=(old,)))
    assert not old.path.exists()
    assert (mode(new.path), mode(new.path.parent)) == (0o600, 0o700)
    assert await ask(new) == "admin"


async def test_the_socket_of_a_daemon_that_died_is_moved_to(rig, tmp_path):
    path = tmp_path / "s"
    program = (
        "import os; from pathlib import Path; from mlxd.config.address import UnixAddress; from mlxd.listener.binding import bind\n"
        f"bind(UnixAddress(Path({str(path)!r}))); os._exit(9)"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], check=False, timeout=60)
    assert stat.S_ISSOCK(path.stat().st_mode)
    await rig.start()
    await rig.move(Move("admin", opened=(UnixAddress(path),), closed=(ANY,)))
    assert await ask(UnixAddress(path)) == "admin"
    assert mode(path) == 0o600


async def test_a_socket_that_another_daemon_serves_is_not_moved_to(rig, tmp_path):
    taken = UnixAddress(tmp_path / "s")
    other = Rig()
    await other.start(admin=(taken,))
    listeners = await rig.start()
    with pytest.raises(ListenError, match="another mlxd serves it"):
        listeners.prepare([Move("admin", opened=(taken,), closed=(ANY,))])
    assert await ask(taken) == "admin"
    await other.listeners.stop()


# ---- start and stop ----


async def test_a_start_is_all_or_nothing(rig, tmp_path):
    with another_program() as taken, pytest.raises(ListenError):
        await rig.start(inference=(UnixAddress(tmp_path / "s"),), admin=(TcpAddress("127.0.0.1", taken),))
    assert not (tmp_path / "s").exists()


async def test_stop_closes_what_was_opened_since(rig, tmp_path):
    new = UnixAddress(tmp_path / "s")
    await rig.start()
    await rig.move(Move("inference", opened=(new,), closed=()))
    await rig.listeners.stop()
    assert rig.listeners.bound == ()
    assert not new.path.exists()


async def test_one_may_stop_accepting_while_the_other_serves(rig):
    await rig.start()
    inference, admin = (TcpAddress("127.0.0.1", rig.port(role)) for role in ("inference", "admin"))
    under_way = await hold(rig, inference)
    rig.listeners.stop_accepting("inference")
    assert (await ask(inference), await ask(admin)) == (None, "admin")
    rig.may_answer.set()
    assert await under_way == "inference"


# ---- connections that outlive their listener ----


def addresses_others_can_reach():
    found = [one.address for each in psutil.net_if_addrs().values() for one in each if one.family in (socket.AF_INET, socket.AF_INET6)]
    return [address for address in found if not address.startswith(("127.", "::1", "fe80"))]


@pytest.mark.skipif(not addresses_others_can_reach(), reason="this machine has no other address than loopback")
async def test_a_connection_from_elsewhere_is_no_way_in_when_the_tokens_have_gone(tmp_path):
    """A listener with tokens moves to a unix socket without: who is still connected to the old one must not be let in by that."""
    echo = Echo(rules=SecurityRules(tokens=("sesame",)))
    [host, *_] = addresses_others_can_reach()
    public = parse_address(f"[{host}]:0" if ":" in host else f"{host}:0")
    listeners = Listeners({"admin": Listener(echo.application(), [public])})
    await listeners.start()
    [bound] = listeners.addresses("admin")
    reader, writer = await connect(bound)

    async def status():
        writer.write(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return (await read_answer(reader))[0]

    assert await status() == 401
    prepared = listeners.prepare([Move("admin", opened=(UnixAddress(tmp_path / "s"),), closed=(public,))])
    listeners.close_old(prepared)
    echo.rules = SecurityRules()
    listeners.serve_new(prepared)
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    assert (await ask(UnixAddress(tmp_path / "s"), "/echo")).endswith("}")
    writer.close()
    await listeners.stop()
