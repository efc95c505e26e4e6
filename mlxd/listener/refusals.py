"""The log of those whose key or token was refused: who it was, and how often, without filling the log for them."""

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from mlxd.errors import UnauthorizedError
from mlxd.listener.peer import peer_of
from mlxd.listener.sparse_log import SparseLog

log = structlog.get_logger(__name__)


def refusals_middleware() -> Middleware:
    """Returns a middleware that tells of the requests whose key or token is refused behind it: a line a minute for each peer."""
    refused = SparseLog(lambda peer, count: log.warning("key_refused", peer=peer, count=count))

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except UnauthorizedError:
            refused.note(peer_of(request))
            raise

    return middleware
