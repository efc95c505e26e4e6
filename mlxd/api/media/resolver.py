"""Names of hosts become addresses, each of which is looked at; a connection goes to one of these, and to no other."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override

from mlxd.api.media.destination import Destination, not_public

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]  # from a host and a port to numeric addresses; raises ``OSError``

_LOOKUPS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="media-dns")  # of their own: a slow name server holds up nobody else


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """Returns the addresses that the system knows of a host."""
    asked = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    found = await asyncio.get_running_loop().run_in_executor(_LOOKUPS, asked)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedResolver(AbstractResolver):
    """The addresses of one destination. One that is not admitted is reason enough to go to none of them."""

    def __init__(self, where: Destination, lookup: Lookup) -> None:
        self._where = where
        self._lookup = lookup

    @override
    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        found = await self._lookup(host, port)
        if not found:
            raise OSError(f"no address of {host}")
        if not all(map(self._where.admits, found)):
            raise not_public(self._where)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    @override
    async def close(self) -> None: ...
