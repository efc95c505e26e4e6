"""Where a fetch goes: every URL is looked at before anybody is asked for anything, and again after each redirect."""

import ipaddress
import re
from dataclasses import dataclass

from yarl import URL

from mlxd.api.media.addresses import is_public
from mlxd.config.media_hosts import MediaHost, one_spelling, parse_media_host
from mlxd.config.schema import MediaTable
from mlxd.errors import InvalidRequestError, excerpt

_LONGEST_HOST = 253  # characters
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_A_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # the last label of "2130706433", "127.1" and "0x7f.1", which systems take for addresses


@dataclass(frozen=True)
class Destination:
    """A URL that may be fetched from. The address of its host must be public, unless somebody named the host in the configuration."""

    url: URL
    host: str
    is_trusted: bool

    def admits(self, address: str) -> bool:
        """Tells whether its host may have this address."""
        return self.is_trusted or is_public(address)

    @property
    def told(self) -> str:
        """Returns the host as refusals show it. Neither path nor query are told: they may be secrets."""
        return f'"{excerpt(self.host)}"'


def destination(url: URL, settings: MediaTable) -> Destination:
    """Returns where the URL leads. Raises ``InvalidRequestError`` where nothing may be fetched."""
    if not settings.allow_http:
        raise InvalidRequestError('is a URL, and none is fetched here (server.media.allow_http); send the picture as a "data:" URL')
    if url.scheme not in ("http", "https"):
        raise InvalidRequestError("leads to what is neither https:// nor http://")
    if url.user is not None or url.password is not None:
        raise InvalidRequestError("has a user or a password in it; nothing is fetched with one")
    host = one_spelling((url.raw_host or "").removesuffix("."))
    _check_host(host)
    found = Destination(url.with_fragment(None), host, is_trusted=_is_trusted(host, url.port or 0, settings))
    if _is_address(host) and not found.admits(host):
        raise not_public(found)
    return found


def not_public(where: Destination) -> InvalidRequestError:
    """Returns the error of a host whose address is not public."""
    return InvalidRequestError(
        f"cannot be fetched: the host {where.told} has an address that is not public; an operator may name it in server.media.allowed_hosts"
    )


def _check_host(host: str) -> None:
    if _is_address(host):
        return
    if len(host) > _LONGEST_HOST or not _NAME.fullmatch(host) or _A_NUMBER.fullmatch(host.rpartition(".")[2]):
        raise InvalidRequestError("has no valid host in it")


def _is_trusted(host: str, port: int, settings: MediaTable) -> bool:
    """Tells whether the host is named in the configuration. Raises ``InvalidRequestError`` where neither name nor star stands for it."""
    covering = [entry for entry in map(parse_media_host, settings.allowed_hosts) if entry.covers(host)]
    opening = [entry for entry in covering if entry.opens(port)]
    if not covering:
        raise InvalidRequestError(f'cannot be fetched: the host "{excerpt(host)}" is not among server.media.allowed_hosts')
    if not opening:
        raise InvalidRequestError(
            f"cannot be fetched: port {port} is neither 80 nor 443; an operator may add "
            f'"{MediaHost(excerpt(host), port).written}" to server.media.allowed_hosts'
        )
    return any(entry.is_named for entry in opening)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
