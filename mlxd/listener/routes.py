"""Paths that nobody answers: 404 with the nearest path there is, 405 with the methods of a path.

They are a route of their own, so that they pass the same checks as all others; aiohttp would ask for the body first (``Expect``).
"""

from itertools import takewhile

from aiohttp import web

from mlxd.errors import MethodNotAllowedError, NotFoundError, excerpt
from mlxd.listener.framing import expect_continue

_REST = "/{rest:.*}"


def add_fallback(app: web.Application) -> None:
    """Answers what no other route of the application does."""
    app.router.add_route("*", _REST, _answer_nothing, expect_handler=expect_continue)


def route_of(request: web.Request) -> str:
    """Returns the path of the request's route as it is declared, ``/v1/models/{id}``; "" where there is none."""
    resource = request.match_info.route.resource
    canonical = resource.canonical if resource is not None else ""
    return "" if canonical == "/{rest}" else canonical


async def _answer_nothing(request: web.Request) -> web.StreamResponse:
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        _, methods = await resource.resolve(request)
        allowed |= methods
    allowed.discard("*")
    if allowed:
        names = ", ".join(sorted(allowed))
        message = f"{excerpt(request.method)} is not allowed on {excerpt(request.path)}; use {names}"
        raise MethodNotAllowedError(message, allowed=sorted(allowed))
    nearest = _nearest(request)
    hint = f"; did you mean {nearest}?" if nearest else ""
    raise NotFoundError(f"no such path: {excerpt(request.path)}{hint}")


def _nearest(request: web.Request) -> str | None:
    """Returns the path that ends most like the request's: a base URL has the "/v1" too much, or lacks it."""
    known = sorted({resource.canonical for resource in request.app.router.resources() if "{" not in resource.canonical}, key=len)
    return max((path for path in known if _alike(path, request.path)), key=lambda path: _alike(path, request.path), default=None)


def _alike(path: str, other: str) -> int:
    """Returns the number of segments that both end in."""
    pairs = zip(reversed(path.strip("/").split("/")), reversed(other.strip("/").split("/")), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] and pair[0] == pair[1], pairs))
