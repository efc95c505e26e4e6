"""Sockets: bound, refused, replaced, and taken back."""

import os
import socket
import stat
import subprocess
import sys

import pytest

from mlxd.config.address import TcpAddress, UnixAddress
from mlxd.errors import ListenError
from mlxd.listener.binding import bind


@pytest.fixture
def bound():
    """Bind, and close at the end."""
    made = []

    def do(address, **options):
        made.append(bind(address, **options))
        return made[-1]

    yield do
    for one in made:
        one.close()


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_port_zero_reports_the_real_one(bound):
    one = bound(TcpAddress("127.0.0.1", 0))
    assert one.address.port == one.sockets[0].getsockname()[1] > 0
    with socket.create_connection(("127.0.0.1", one.address.port)):
        pass


def test_localhost_has_one_port_for_all_its_addresses(bound):
    one = bound(TcpAddress("localhost", 0))
    assert {sock.getsockname()[1] for sock in one.sockets} == {one.address.port}


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_ipv6_is_no_back_door_to_ipv4(bound):
    one = bound(TcpAddress("::", 0))
    with socket.create_connection(("::1", one.address.port)):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", one.address.port))


def test_an_address_in_use(bound):
    one = bound(TcpAddress("127.0.0.1", 0))
    with pytest.raises(ListenError, match=rf"cannot listen on 127.0.0.1:{one.address.port}: another program listens there; stop it"):
        bind(one.address)


def test_a_port_can_be_bound_again_at_once(bound):
    one = bound(TcpAddress("127.0.0.1", 0))
    with socket.create_connection(("127.0.0.1", one.address.port)) as client:
        accepted = _accept(one.sockets[0])
        accepted.close()  # first to close: its side waits in TIME_WAIT
        client.recv(1)
    one.close()
    assert bound(one.address).address == one.address


def _accept(listening):
    listening.settimeout(5)
    return listening.accept()[0]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (TcpAddress("192.0.2.1", 8000), "cannot listen on 192.0.2.1:8000: this machine has no such address"),
        (TcpAddress("no-such-host.invalid", 8000), "cannot listen on no-such-host.invalid:8000: the host name cannot be resolved"),
    ],
)
def test_addresses_that_cannot_be(address, message):
    with pytest.raises(ListenError, match=message):
        bind(address)


# ---- unix sockets ----


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_socket_is_its_owners(bound, tmp_path):
    path = tmp_path / "deep" / "er" / "s"
    before = os.umask(0)
    try:
        bound(UnixAddress(path))
    finally:
        assert os.umask(before) == 0  # put back
    assert (mode(path), mode(path.parent), mode(tmp_path / "deep" / "er" / "s.lock")) == (0o600, 0o700, 0o600)


def test_another_mode(bound, tmp_path):
    bound(UnixAddress(tmp_path / "s"), mode=0o660)
    assert mode(tmp_path / "s") == 0o660


def daemon(path):
    """A program that binds and dies without closing."""
    return f"""if True:
        import os
        from pathlib import Path
        from mlxd.config.address import UnixAddress
        from mlxd.listener.binding import bind
        bind(UnixAddress(Path({str(path)!r})))
        os._exit(9)"""


def test_a_second_daemon_is_refused_and_the_first_goes_on(bound, tmp_path):
    path = tmp_path / "s"
    bound(UnixAddress(path))
    second = subprocess.run([sys.executable, "-c", daemon(path)], capture_output=True, text=True, check=False, timeout=60)
    assert f"ListenError: cannot listen on unix:{path}: another mlxd serves it" in second.stderr
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_the_socket_of_a_daemon_that_died_is_replaced(bound, tmp_path):
    path = tmp_path / "s"
    subprocess.run([sys.executable, "-c", daemon(path)], check=False, timeout=60)
    assert stat.S_ISSOCK(path.stat().st_mode)
    bound(UnixAddress(path))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_that_another_program_serves_is_left_alone(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(ListenError, match="another program listens there"):
            bind(UnixAddress(path))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(ListenError, match="is no socket; remove it, or choose another path"):
        bind(UnixAddress(path))
    assert path.read_text() == "precious"


def test_close_removes_the_socket_and_nothing_else(tmp_path):
    path = tmp_path / "s"
    one = bind(UnixAddress(path))
    (tmp_path / "other").touch()
    one.close()
    one.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other", "s.lock"]
    bind(UnixAddress(path)).close()


def test_closing_twice_does_not_remove_a_successors_socket(bound, tmp_path):
    one = bind(UnixAddress(tmp_path / "s"))
    one.close()
    bound(UnixAddress(tmp_path / "s"))
    one.close()
    assert (tmp_path / "s").exists()


def test_a_socket_that_was_replaced_by_hand_is_not_removed(tmp_path):
    path = tmp_path / "s"
    one = bind(UnixAddress(path))
    path.rename(tmp_path / "moved")
    path.write_text("not ours")
    one.close()
    assert path.read_text() == "not ours"


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ListenError, match="cannot listen on unix:"):
        bind(UnixAddress(tmp_path / "file" / "s"))
