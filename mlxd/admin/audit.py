"""Every change that somebody asks of the admin API, and how it ended, in the log: who, what, result."""

import asyncio
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from mlxd.admin.keys import RULES
from mlxd.admin.routes import ROUTES
from mlxd.errors import MlxdError, excerpt
from mlxd.listener.peer import peer_of
from mlxd.listener.routes import route_of
from mlxd.listener.security import ROLE

_READING = ("GET", "HEAD", "OPTIONS")
_LONGEST_NAME = 128  # characters; of a model, for one
_CLIENT_LEFT = 499  # as nginx has it
_PARAMETERS = frozenset(name for route in ROUTES for name in route.query)  # others are refused, and might hold a secret

_log = structlog.get_logger(__name__)


@web.middleware
async def audit_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tells of each change in the log. It stands inside the error middleware and around the security's, so what is refused is told as well,
    and what its client did not wait for.
    """
    if request.method in _READING or (request.method, request.path) in request.app[RULES]().reading_calls:
        return await handler(request)
    peer = peer_of(request)  # now, for it may leave
    try:
        response = await handler(request)
    except MlxdError as error:
        _tell(request, peer, error.status, error.code)
        raise
    except web.HTTPException as answer:
        _tell(request, peer, answer.status, None)
        raise
    except asyncio.CancelledError:
        _tell(request, peer, _CLIENT_LEFT, "client_left")
        raise
    except Exception:
        _tell(request, peer, HTTPStatus.INTERNAL_SERVER_ERROR, MlxdError.code)
        raise
    _tell(request, peer, response.status, None)
    return response


def _tell(request: web.Request, peer: str, status: int, error: str | None) -> None:
    route = route_of(request)
    asked = {**(request.match_info if route else {}), **{name: value for name, value in request.query.items() if name in _PARAMETERS}}
    role = request.get(ROLE)
    _log.info(
        "audit",
        action=f"{request.method} {route or 'unknown'}",
        **{f"on_{name}": excerpt(value, _LONGEST_NAME) for name, value in asked.items()},
        role=role.value if role is not None else "none",
        peer=peer,
        status=int(status),
        **({} if error is None else {"error": error}),
    )
