"""The keys and tokens that requests show, and whose they are. Of those that are known there are digests alone, which show nothing."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

from mlxd.config.principal import Principal
from mlxd.errors import UnauthorizedError

API_KEY_HEADER = "x-api-key"  # Anthropic's clients send it


@dataclass(frozen=True)
class Credential:
    """A key that is known, by its digest, and whoever holds it."""

    digest: bytes = field(repr=False)
    holder: Principal

    @classmethod
    def of(cls, secret: str, holder: Principal) -> Self:
        """Returns the credential of a key as it is configured."""
        return cls(_digest(secret), holder)


def shown_secrets(request: web.Request, *, api_key_header: bool) -> list[str]:
    """Returns what the request shows, in the order in which it is looked at: ``Authorization: Bearer``, then ``x-api-key`` where that is
    taken. Raises ``UnauthorizedError`` where it shows nothing.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    shown = [token.strip()] if scheme.lower() == "bearer" else []
    if api_key_header:
        shown.append(request.headers.get(API_KEY_HEADER, "").strip())
    if not any(shown):
        also = f' or "{API_KEY_HEADER}: KEY"' if api_key_header else ""
        raise UnauthorizedError(f'a token is required: send the header "Authorization: Bearer TOKEN"{also}')
    return list(filter(None, shown))


def holder_of(secrets: Iterable[str], known: Iterable[Credential]) -> Principal | None:
    """Returns the holder of the first of the secrets that is known, in a time that does not depend on which one, how much of it, or whether
    any matches.
    """
    known = list(known)
    found = [one.holder for digest in map(_digest, secrets) for one in known if hmac.compare_digest(digest, one.digest)]
    return found[0] if found else None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
