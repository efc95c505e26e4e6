"""One file, fetched: from a public place, within bounds of bytes and time, whatever its server does."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import aiohttp
import structlog
from aiohttp import hdrs
from yarl import URL

from mlxd import __version__
from mlxd.api.media.allowance import too_large
from mlxd.api.media.authorities import trusted
from mlxd.api.media.destination import Destination, destination
from mlxd.api.media.resolver import CheckedResolver, Lookup
from mlxd.config.schema import MediaTable
from mlxd.config.units import format_duration
from mlxd.errors import InvalidRequestError, MlxdError
from mlxd.listener.encoding import decoder_for

log = structlog.get_logger(__name__)

MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FOUND = 200
_QUOTED = re.compile(r"[!-~]+")  # nothing in it could end a line of HTTP
_HEADERS = {
    "User-Agent": f"mlxd/{__version__}",
    "Accept": "image/*, video/*;q=0.9, */*;q=0.1",
    "Accept-Encoding": "identity",  # files are compressed as they are
}


@dataclass(frozen=True)
class Fetch:
    """One file that is to be fetched. ``take`` is told of bytes before they are kept, and raises where there is no room for them."""

    url: str
    settings: MediaTable
    take: Callable[[int], None]
    lookup: Lookup

    async def run(self) -> bytes:
        """Returns the file. Raises ``InvalidRequestError`` for whatever is wrong with it or its server, and what ``take`` raises. Messages
        go on after the name of the part.
        """
        try:
            async with asyncio.timeout(self.settings.timeout):
                return await self._followed()
        except TimeoutError:
            limit = format_duration(self.settings.timeout)
            raise InvalidRequestError(f"cannot be fetched within {limit} (server.media.timeout)") from None
        except MlxdError:
            raise
        except aiohttp.ClientError as error:
            raise InvalidRequestError(f"cannot be fetched: {_reason(error)}") from None
        except (OSError, ValueError):  # a URL, or an answer, that aiohttp cannot make anything of
            raise InvalidRequestError("cannot be fetched: the server, or a redirect of it, makes no sense") from None

    async def _followed(self) -> bytes:
        url = _parsed(self.url)
        for _ in range(MOST_REDIRECTS + 1):
            where = destination(url, self.settings)
            async with _session(where, self.lookup) as session, session.get(where.url, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await self._body(response, where)
                url = where.url.join(_redirected(response))
        raise InvalidRequestError(f"is redirected more than {MOST_REDIRECTS} times")

    async def _body(self, response: aiohttp.ClientResponse, where: Destination) -> bytes:
        if response.status != _FOUND:
            raise InvalidRequestError(f"cannot be fetched: {where.told} answers with the status {response.status}")
        most = self.settings.max_bytes
        if (response.content_length or 0) > most:
            raise too_large(most)
        found = bytearray()
        async for plain in _plain(response, most):
            if len(found) + len(plain) > most:
                raise too_large(most)
            self.take(len(plain))
            found += plain
        if not found:
            raise InvalidRequestError(f"is an empty file, as {where.told} has it")
        log.debug("media_fetched", host=where.host, bytes=len(found))
        return bytes(found)


def _parsed(text: str) -> URL:
    """Returns the URL as it is written, letter for letter, for it may be signed; quoted where it is not yet."""
    try:
        url = URL(text, encoded=_QUOTED.fullmatch(text) is not None)
        _ = url.port  # of one that is written as it is, the host and port are looked at then only
    except ValueError:
        raise InvalidRequestError("is, or is redirected to, no valid URL") from None
    return url


def _redirected(response: aiohttp.ClientResponse) -> URL:
    location = response.headers.get("Location")
    if not location:
        raise InvalidRequestError("cannot be fetched: its server redirects to nowhere")
    return _parsed(location)


def _session(where: Destination, lookup: Lookup) -> AbstractAsyncContextManager[aiohttp.ClientSession]:
    """Returns a session for one exchange: with no connection, cookie or proxy of anybody else's."""
    connector = aiohttp.TCPConnector(
        resolver=CheckedResolver(where, lookup),
        use_dns_cache=False,
        force_close=True,
        socket_factory=_socket_factory(where),
        ssl=trusted(),
    )
    return aiohttp.ClientSession(
        connector=connector,
        headers=_HEADERS,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        trust_env=False,
    )


def _socket_factory(where: Destination) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Returns what makes every socket there is, so that none goes to an address that was not looked at."""

    def connected(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        if not where.admits(address[0]):
            raise PermissionError("the address is not public")
        return socket.socket(family, kind, protocol)

    return connected


async def _plain(response: aiohttp.ClientResponse, most: int) -> AsyncIterator[bytes]:
    """Yields the body, unpacked: of each piece a little more than ``most`` bytes at most."""
    try:
        decoder = decoder_for(response.headers.getall(hdrs.CONTENT_ENCODING, []))
        async for chunk in response.content.iter_any():
            yield chunk if decoder is None else await asyncio.to_thread(decoder.feed, chunk, most)
        if decoder is not None:
            decoder.finish()
    except MlxdError:
        raise InvalidRequestError("cannot be fetched: its server compresses it wrongly, or in a way that is not understood") from None


def _reason(error: aiohttp.ClientError) -> str:
    """Says what was wrong without the words of libraries, which repeat URLs."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "its host is not known"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "there is no secure connection to its host: the certificate, or TLS itself, is at fault"
        case aiohttp.ClientConnectorError():
            return "there is no connection to its host"
        case _:
            return "its server breaks off, or answers with what is no HTTP"
