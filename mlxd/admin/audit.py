"""Every change that somebody asks of the admin API, and how it ended, in the log: who, what, result."""

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from mlxd.admin.keys import RULES
from mlxd.errors import MlxdError
from mlxd.listener.peer import peer_of
from mlxd.listener.security import ROLE

_READING = ("GET", "HEAD", "OPTIONS")

_log = structlog.get_logger(__name__)


@web.middleware
async def audit_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Inside the error middleware, and around the security's: what is refused is told as well."""
    if request.method in _READING or request.path in request.app[RULES]().reading_paths:
        return await handler(request)
    try:
        response = await handler(request)
    except MlxdError as error:
        _tell(request, error.status, error.code)
        raise
    except web.HTTPException as answer:
        _tell(request, answer.status, None)
        raise
    _tell(request, response.status, None)
    return response


def _tell(request: web.Request, status: int, error: str | None) -> None:
    resource = request.match_info.route.resource
    details = {**request.match_info, **request.query}
    role = request.get(ROLE)
    _log.info(
        "audit",
        action=f"{request.method} {resource.canonical if resource is not None else 'unknown'}",
        **{f"on_{name}": value[:128] for name, value in details.items()},
        role=role.value if role is not None else "none",
        peer=peer_of(request),
        status=status,
        **({} if error is None else {"error": error}),
    )
