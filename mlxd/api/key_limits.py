"""What the holder of a key may ask for, looked at before its request is read, and told in the headers of every answer."""

from collections.abc import Awaitable, Callable, Container

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from mlxd.api.keys import KEY_USE, KEY_USES, SPENDING
from mlxd.api.rate_headers import RateHeaders
from mlxd.config.principal import ANONYMOUS
from mlxd.errors import RateLimitError
from mlxd.listener.routes import route_of
from mlxd.listener.security import OPEN_PATHS, PRINCIPAL
from mlxd.listener.sparse_log import SparseLog

Signal = Callable[[web.Request, web.StreamResponse], Awaitable[None]]

_BYTES_OF_A_TOKEN = 4  # of agents' prompts, with the JSON around them

log = structlog.get_logger(__name__)


def key_limits_middleware(generating: Container[str]) -> Middleware:
    """Returns a middleware that raises ``RateLimitError`` where the holder of the request's key has reached a limit. Every call by POST
    is a request; ``generating`` are the paths of those that use tokens, too.
    """
    refused = SparseLog(lambda name, count: log.info("key_limited", key=name, count=count))

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN_PATHS:
            return await handler(request)
        holder = request[PRINCIPAL]
        use = request[KEY_USE] = request.app[KEY_USES].of(holder)
        if holder is not ANONYMOUS:
            structlog.contextvars.bind_contextvars(key=holder.name)
        route = route_of(request)
        try:
            if request.method == hdrs.METH_POST and route in generating:
                with use.generation(holder, expected_tokens(request)) as request[SPENDING]:
                    return await handler(request)
            if request.method == hdrs.METH_POST and route:
                use.ask(holder)
        except RateLimitError:
            refused.note(holder.name)
            raise
        return await handler(request)

    return middleware


def expected_tokens(request: web.Request) -> int:
    """Returns about how many tokens a request's prompt has, by the size of its body; 0 where that is not said."""
    return tokens_of(request.content_length or 0)


def tokens_of(size: int) -> int:
    """Returns about how many tokens so many bytes of a body are."""
    return size // _BYTES_OF_A_TOKEN


def rate_headers_signal(headers_of: Callable[[web.Request], RateHeaders]) -> Signal:
    """Returns an ``on_response_prepare`` signal that has every answer, streams and errors too, say what is left of its key's limits, in the
    words that ``headers_of`` a request has.
    """

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        use = request.get(KEY_USE)
        if use is not None:
            response.headers.update(headers_of(request)(use.allowances(request[PRINCIPAL])))

    return add
