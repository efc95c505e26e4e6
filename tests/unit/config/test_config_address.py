from pathlib import Path

import pytest

from mlxd.config.address import TcpAddress, UnixAddress, is_host, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", TcpAddress("127.0.0.1", 8000)),
        ("localhost:0", TcpAddress("localhost", 0)),
        ("LocalHost:80", TcpAddress("localhost", 80)),
        ("[::1]:8000", TcpAddress("::1", 8000)),
        ("0.0.0.0:65535", TcpAddress("0.0.0.0", 65535)),  # noqa: S104
        ("mac-studio.local:1", TcpAddress("mac-studio.local", 1)),
        ("unix:/run/mlxd.sock", UnixAddress(Path("/run/mlxd.sock"))),
    ],
)
def test_addresses(text, address):
    assert parse_address(text) == address
    assert parse_address(address) is address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "value",
    ["", ":", "8000", "host", "host:", "host:x", "host:-1", "host:65536", "host:999999", "host:\uff18",
     "a b:80", "::1:80", "[::1]", "[x]:80",
     "[127.0.0.1]:80", "[]:80", "127.1:80", "256.0.0.1:80", "-a:80", "a..b:80", "http://a:80", "unix:", "unix:rel",
     "unix: ", "unix:/a\0b", 80, None, True],
)  # fmt: skip
def test_what_is_no_address(value):
    with pytest.raises(ValueError, match="must"):
        parse_address(value)


@pytest.mark.parametrize("text", ["127.0.0.1:1", "127.9.9.9:1", "localhost:1", "LOCALHOST:1", "[::1]:1", "unix:/x"])
def test_loopback(text):
    assert parse_address(text).is_loopback


@pytest.mark.parametrize("text", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.com:1", "localhost.example.com:1", "[::ffff:127.0.0.1]:1"])
def test_not_loopback(text):
    assert not parse_address(text).is_loopback


def test_a_socket_path_has_at_most_103_bytes():
    assert parse_address("unix:/" + "x" * 102)
    with pytest.raises(ValueError, match="at most 103 bytes"):
        parse_address("unix:/" + "x" * 103)


@pytest.mark.parametrize("host", ["a", "a.b-c.d", "127.0.0.1", "::1", "my_host", "a" * 63])
def test_hosts(host):
    assert is_host(host)


@pytest.mark.parametrize("host", ["", "A", "a b", "1.2.3", "1.2.3.4.5", "a" * 64, "a." * 127 + "aa", "*", "a/b", "[::1]"])
def test_what_is_no_host(host):
    assert not is_host(host)
