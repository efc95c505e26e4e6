"""Listen addresses: ``"127.0.0.1:8000"``, ``"[::1]:8000"`` or ``"unix:/path"``."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema


@dataclass(frozen=True)
class TcpAddress:
    """``port`` 0 lets the system choose."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Reachable from this machine only."""
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
    """A socket file; ``~`` is expanded."""

    path: Path

    @property
    def is_loopback(self) -> bool:
        """File permissions decide who may connect."""
        return True

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress

_EXPECTED = 'expected "HOST:PORT", "[IPV6]:PORT" or "unix:/path"'
_MAX_UNIX_PATH = 103  # bytes; macOS allows 104 with the terminating zero, Linux 108


def parse_address(value: object) -> Address:
    """Raises ``ValueError`` saying what would be right."""
    if isinstance(value, TcpAddress | UnixAddress):
        return value
    if not isinstance(value, str):
        raise ValueError(_EXPECTED)
    if value.startswith("unix:"):
        return _parse_unix(value.removeprefix("unix:"))
    host, colon, port = value.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f'an IPv6 address needs brackets: "[{host}]:{port}"')
    if not colon or not host or not port.isdecimal():
        raise ValueError(_EXPECTED)
    if int(port) > 65535:
        raise ValueError(f"port {port} is above 65535")
    return TcpAddress(host, int(port))


def _parse_unix(text: str) -> UnixAddress:
    if not text.strip():
        raise ValueError(_EXPECTED)
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise ValueError(f'a socket path must be absolute or begin with "~": "unix:{text}"')
    if len(str(path).encode()) > _MAX_UNIX_PATH:
        raise ValueError(f"a socket path may have at most {_MAX_UNIX_PATH} bytes")
    return UnixAddress(path)


Listen = Annotated[
    TcpAddress | UnixAddress,
    BeforeValidator(parse_address),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["127.0.0.1:8000", "unix:~/.mlxd/admin.sock"]}),
]
