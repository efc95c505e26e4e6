"""What there is to say of one call of the admin API."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from aiohttp.typedefs import Handler

JSON = "application/json"
TOML = "application/toml"

Content = type[msgspec.Struct] | str  # a document, or a media type whose content is not ours


@dataclass(frozen=True, kw_only=True)
class Route:
    """A call of the API, which its handler's docstring describes. ``answers`` has the content of each good status and of those bad ones
    that have a document of their own, None for no body; ``refusals`` are further statuses, with the document of errors.
    """

    method: str
    path: str  # as aiohttp's router writes it
    name: str  # OpenAPI's operationId
    handler: Handler
    answers: Mapping[int, Content | None] = field(default_factory=dict)
    meanings: Mapping[int, str] = field(default_factory=dict)  # of these, where they mean more than they do everywhere
    refusals: tuple[int, ...] = ()
    query: tuple[str, ...] = ()  # flags: "1" or "0"
    headers: tuple[str, ...] = ()  # of the request
    sends: tuple[str, ...] = ()  # headers of its answers
    body: Content | None = None
    reads: bool = False  # changes nothing: a read token may call it, whatever its method
    is_open: bool = False  # needs no token

    @property
    def content_type(self) -> str | None:
        """Returns the content type of the body that the call takes; None where it takes none."""
        return JSON if isinstance(self.body, type) else self.body
