import pytest

from mlxd.config.media_hosts import parse_media_host
from tests.support.cases import over

COVERED = [
    ("*", "cdn.example", True),
    ("*", "::1", True),
    ("cdn.example", "cdn.example", True),
    ("CDN.Example", "cdn.example", True),
    ("cdn.example", "a.cdn.example", False),
    ("cdn.example", "cdn.example.evil", False),
    ("*.example.com", "a.example.com", True),
    ("*.example.com", "a.b.example.com", True),
    ("*.example.com", "example.com", False),
    ("*.example.com", "evilexample.com", False),
    ("[0:0::1]", "::1", True),
    ("[::1]:9000", "::1", True),
    ("10.0.0.7", "10.0.0.7", True),
    ("10.0.0.7", "10.0.0.70", False),
]


@over(COVERED, str)
def test_an_entry_covers(case):
    listed, host, covered = case
    assert parse_media_host(listed).covers(host) is covered


@pytest.mark.parametrize(("listed", "open_ports"), [("*", [80, 443]), ("a.example", [80, 443]), ("a.example:9000", [9000]), ("*:81", [81])])
def test_an_entry_opens_ports(listed, open_ports):
    entry = parse_media_host(listed)
    assert [port for port in (22, 80, 81, 443, 6379, 9000) if entry.opens(port)] == open_ports
    assert parse_media_host(entry.written) == entry


def test_a_star_names_nobody():
    assert [parse_media_host(listed).is_named for listed in ("*", "*.example.com", "a.example", "[::1]:80")] == [False, False, True, True]
