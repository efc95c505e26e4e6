"""Hosts that pictures and films may be fetched from: how they are listed in ``server.media.allowed_hosts``, and what an entry covers.

::

    cdn.example           one host, at ports 80 and 443; it may have a private or loopback address
    minio.internal:9000   one port of it, likewise
    *.example.com         any name below a domain, at a public address
    *                     any host at a public address
"""

import ipaddress
import re
from dataclasses import dataclass

from mlxd.config.address import is_host

_PORTS = (80, 443)
_WRITTEN = re.compile(r"(\*|\[[0-9a-f:.]+\]|(?:\*\.)?[^:\[\]*]+)(?::([0-9]{1,5}))?")
_MOST_PORT = 65535
_EXPECTED = 'must be a host, without scheme and path, such as "cdn.example", "minio.internal:9000", "[fd00::1]", "*.example.com" or "*"'


@dataclass(frozen=True)
class MediaHost:
    """An entry of the list. A ``host`` that begins with a star stands for many."""

    host: str
    port: int | None = None

    @property
    def is_named(self) -> bool:
        """Tells whether somebody named that one host, and trusts it wherever its address is."""
        return not self.host.startswith("*")

    @property
    def written(self) -> str:
        """Returns the entry as it is listed."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def covers(self, host: str) -> bool:
        """Tells whether it stands for this host, in lower case and without brackets, whatever the port."""
        return host.endswith(self.host[1:]) if self.host.startswith("*") else host == self.host

    def opens(self, port: int) -> bool:
        """Tells whether it allows this port."""
        return port in _PORTS if self.port is None else port == self.port


def parse_media_host(text: str) -> MediaHost:
    """Reads an entry. Raises ``ValueError`` saying what it must be."""
    found = _WRITTEN.fullmatch(text.lower())
    if found is None or (found[2] is not None and not 0 < int(found[2]) <= _MOST_PORT):
        raise ValueError(_EXPECTED)
    host = found[1].strip("[]")
    below = host.removeprefix("*.")
    if host != "*" and (not is_host(below) or (below != host and "." not in below)):  # "*.com" would be half the world
        raise ValueError(_EXPECTED)
    return MediaHost(one_spelling(host), int(found[2]) if found[2] else None)


def one_spelling(host: str) -> str:
    """Returns a host in lower case; an address in the one way in which all write it."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()


def check_media_host(text: str) -> str:
    """Returns an entry as it may be listed. Raises ``ValueError`` saying what it must be."""
    parse_media_host(text)
    return text
