"""What there is to say of one call of the admin API."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from aiohttp.typedefs import Handler

TOML = "application/toml"


@dataclass(frozen=True, kw_only=True)
class Route:
    """``answers``: the document of each good status and of those bad ones that have a document of their own; None: none of ours.
    ``refusals``: further statuses, with the document of errors. The handler's docstring describes the call.
    """

    method: str
    path: str  # as aiohttp's router writes it
    name: str  # OpenAPI's operationId
    handler: Handler
    answers: Mapping[int, type[msgspec.Struct] | None] = field(default_factory=dict)
    refusals: tuple[int, ...] = ()
    query: tuple[str, ...] = ()  # flags: "1" or "0"
    headers: tuple[str, ...] = ()
    body: type[msgspec.Struct] | str | None = None  # a document, or a media type
    reads: bool = False  # changes nothing: a read token may call it, whatever its method
    is_open: bool = False  # needs no token
