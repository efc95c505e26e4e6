"""Listen addresses: ``"127.0.0.1:8000"``, ``"[::1]:8000"`` or ``"unix:/path"``."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from mlxd.config.paths import expand


@dataclass(frozen=True)
class TcpAddress:
    """A TCP address, whose ``port`` 0 lets the system choose one."""

    host: str  # an IPv4 or IPv6 address (no brackets) or a host name
    port: int

    @property
    def is_loopback(self) -> bool:
        """Tells whether the address can be reached from this machine only."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class UnixAddress:
    """A socket file, whose path has its ``~`` expanded."""

    path: Path

    @property
    def is_loopback(self) -> bool:
        """File permissions decide who may connect, so a socket file counts as loopback."""
        return True

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress

DEFAULT_ADMIN = "unix:~/.mlxd/admin.sock"

_EXPECTED = 'must be "HOST:PORT", "[IPV6]:PORT" or "unix:/path"'
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_PORT = re.compile(r"[0-9]{1,5}")
_MAX_UNIX_PATH = 103  # bytes; macOS allows 104 with the terminating zero, Linux 108


def parse_address(value: object) -> Address:
    """Reads an address, or passes one that is read already. Raises ``ValueError`` saying what it must be."""
    if isinstance(value, TcpAddress | UnixAddress):
        return value
    if not isinstance(value, str):
        raise ValueError(_EXPECTED)
    if value.startswith("unix:"):
        return _parse_unix(value.removeprefix("unix:"))
    return _parse_tcp(value)


def url_of(address: Address, scheme: str) -> str:
    """Returns ``https://127.0.0.1:8000``, or a unix socket's address as it is."""
    return f"{scheme}://{address}" if isinstance(address, TcpAddress) else str(address)


def default_admin_address() -> Address:
    """Returns where administration is served unless a file says otherwise. Raises ``ValueError`` where this user has no home directory."""
    try:
        return parse_address(DEFAULT_ADMIN)
    except ValueError:
        raise ValueError(f"the default of admin.listen, {DEFAULT_ADMIN}, needs a home directory: set HOME, or admin.listen") from None


def is_host(text: str) -> bool:
    """Tells whether ``text`` is a host name in lower case, or an IPv4 or IPv6 address without brackets."""
    if ":" in text or re.fullmatch(r"[0-9.]+", text):  # digits and dots alone are an IPv4 address or a mistake
        try:
            ipaddress.ip_address(text)
        except ValueError:
            return False
        return True
    return bool(_HOST_NAME.fullmatch(text))


def _parse_tcp(text: str) -> TcpAddress:
    if "://" in text:
        raise ValueError('must be an address without a scheme, such as "127.0.0.1:8000"')
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not _PORT.fullmatch(port):
        raise ValueError(_EXPECTED)
    if not host:
        raise ValueError(f'must name a host: "127.0.0.1:{port}" for this machine only, "0.0.0.0:{port}" for every IPv4 interface')
    if ":" in host and not bracketed:
        raise ValueError(f'must have brackets around an IPv6 address, as in "[::1]:{port}"')
    host = (host[1:-1] if bracketed else host).lower()
    if not is_host(host) or bracketed != (":" in host):
        raise ValueError(_EXPECTED)
    if int(port) > 65535:
        raise ValueError("must have a port of at most 65535")
    return TcpAddress(host, int(port))


def _parse_unix(text: str) -> UnixAddress:
    if not text.startswith(("/", "~")):
        raise ValueError('must have an absolute path after "unix:", or one that begins with "~"')
    path = expand(text, Path("/"))
    if len(str(path).encode()) > _MAX_UNIX_PATH:
        raise ValueError(f"must have a socket path of at most {_MAX_UNIX_PATH} bytes")
    return UnixAddress(path)


Listen = Annotated[TcpAddress | UnixAddress, BeforeValidator(parse_address), PlainSerializer(str, return_type=str)]
