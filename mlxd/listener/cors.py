"""Cross-origin requests of browsers and desktop apps: whom to answer, and with which headers.

A page sees nothing of an answer without these headers, so every answer to an allowed origin has them: a refusal too, whatever it is for.
"""

import re

import structlog
from aiohttp import web

from mlxd.config.origins import is_listed
from mlxd.errors import ForbiddenError, excerpt

_ALLOWED_ORIGIN = web.RequestKey("mlxd.allowed_origin", str)
_DEPENDS_ON_ORIGIN = web.RequestKey("mlxd.depends_on_origin", bool)
_HEADER_LIST = re.compile(r"[!#$%&'*+.^_`|~A-Za-z0-9-]+(\s*,\s*[!#$%&'*+.^_`|~A-Za-z0-9-]+)*")
_PREFLIGHT_MAX_AGE = "600"  # seconds
_METHODS = "GET, HEAD, POST, DELETE, OPTIONS"
_MOST_TOLD = 100  # origins that the log tells of

# What clients read: who was asked what, when to ask again, and how much is left, in OpenAI's names and in Anthropic's.
_LEFT = [
    f"{name}-{kind}" for kind in ("requests", "tokens") for name in ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
]
_LEFT += [
    f"anthropic-ratelimit-{kind}-{name}"
    for kind in ("requests", "tokens", "input-tokens", "output-tokens")
    for name in ("limit", "remaining", "reset")
]
_EXPOSED = ", ".join(["x-request-id", "request-id", "x-mlxd-cache", "x-should-retry", "retry-after", "retry-after-ms", "allow", *_LEFT])

_log = structlog.get_logger(__name__)


class OriginGuard:
    """A guard of one listener. The log tells of each origin that it refuses once: a browser does not show its user which one that is."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def look(self, request: web.Request, allowed: tuple[str, ...]) -> None:
        """Takes note of whether the request's origin is allowed, before anything is refused."""
        request[_DEPENDS_ON_ORIGIN] = bool(allowed)
        origins = request.headers.getall("Origin", [])
        if len(origins) == 1 and any(is_listed(origins[0], listed) for listed in allowed):
            request[_ALLOWED_ORIGIN] = origins[0]

    def check(self, request: web.Request) -> None:
        """Refuses a request from an origin that is not listed.

        Requests of the same origin are no exception: mlxd serves no pages, so a page that claims our origin is not ours. Raises
        ``ForbiddenError``.
        """
        if "Origin" not in request.headers or _ALLOWED_ORIGIN in request:
            return
        origin = excerpt(", ".join(request.headers.getall("Origin")))
        if origin not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(origin)
            _log.warning("origin_refused", origin=origin)
        raise ForbiddenError(f'requests from the Origin "{origin}" are not allowed; add it to server.cors_origins if it should be')


def preflight_response(request: web.Request) -> web.Response | None:
    """Returns the answer to a CORS preflight of an allowed origin; None where the request is none."""
    if request.method != "OPTIONS" or _ALLOWED_ORIGIN not in request or "Access-Control-Request-Method" not in request.headers:
        return None
    response = web.Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = _METHODS
    response.headers["Access-Control-Max-Age"] = _PREFLIGHT_MAX_AGE
    wanted = ", ".join(request.headers.getall("Access-Control-Request-Headers", []))
    if _HEADER_LIST.fullmatch(wanted):  # SDKs add their own (x-stainless-*), so any name will do
        response.headers["Access-Control-Allow-Headers"] = wanted
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        response.headers["Access-Control-Allow-Private-Network"] = "true"
    return response


async def add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Adds the headers as an ``on_response_prepare`` signal, so that streams and errors get them too."""
    if request.get(_DEPENDS_ON_ORIGIN):
        response.headers["Vary"] = ", ".join([*response.headers.getall("Vary", []), "Origin"])
    origin = request.get(_ALLOWED_ORIGIN)
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
