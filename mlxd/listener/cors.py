"""Cross-origin requests of browsers: whom to answer, and with which headers."""

import re

from aiohttp import web

from mlxd.errors import ForbiddenError

_ALLOWED_ORIGIN = web.RequestKey("mlxd.allowed_origin", str)
_HEADER_LIST = re.compile(r"[A-Za-z0-9-]+(\s*,\s*[A-Za-z0-9-]+)*")
_PREFLIGHT_MAX_AGE = "600"  # seconds
_OF_LIMITS = [f"x-ratelimit-{what}-{of}" for of in ("requests", "tokens") for what in ("limit", "remaining", "reset")]
_EXPOSED = ", ".join(["x-request-id", "x-mlxd-cache", "retry-after", *_OF_LIMITS])


def check_origin(request: web.Request, allowed: tuple[str, ...]) -> None:
    """Refuses a browser's request from an origin that is not listed.

    Requests of the same origin are no exception: mlxd serves no pages, so a page that claims our origin is not ours. ``"*"`` allows every
    origin. Raises ``ForbiddenError``.
    """
    origins = request.headers.getall("Origin", [])
    if not origins:
        return
    listed = {origin.lower().rstrip("/") for origin in allowed}
    any_of_scheme = f"{origins[0].lower().partition('://')[0]}://*"  # chrome-extension://*
    if len(origins) > 1 or not listed & {origins[0].lower(), any_of_scheme, "*"}:
        raise ForbiddenError("requests from this Origin are not allowed; add it to server.cors_origins if it should be")
    request[_ALLOWED_ORIGIN] = origins[0]


def preflight_response(request: web.Request) -> web.Response | None:
    """Returns the answer to a CORS preflight of an allowed origin; None where the request is none."""
    if request.method != "OPTIONS" or _ALLOWED_ORIGIN not in request or "Access-Control-Request-Method" not in request.headers:
        return None
    response = web.Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
    response.headers["Access-Control-Max-Age"] = _PREFLIGHT_MAX_AGE
    wanted = request.headers.get("Access-Control-Request-Headers", "")
    if _HEADER_LIST.fullmatch(wanted):  # SDKs add their own (x-stainless-*), so any name will do
        response.headers["Access-Control-Allow-Headers"] = wanted
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        response.headers["Access-Control-Allow-Private-Network"] = "true"
    return response


async def add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Adds the headers as an ``on_response_prepare`` signal, so that streams and errors get them too."""
    origin = request.get(_ALLOWED_ORIGIN)
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        response.headers["Vary"] = "Origin"
