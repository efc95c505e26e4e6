"""A listener's application, with what every listener shares: request ids, errors, security, in this order."""

from collections.abc import Callable, Mapping, Sequence

from aiohttp import web
from aiohttp.typedefs import Middleware

from mlxd.errors import MlxdError
from mlxd.listener.cors import add_cors_headers
from mlxd.listener.errors import ErrorBody, OnError, error_middleware
from mlxd.listener.framing import close_where_unsure
from mlxd.listener.request_id import add_request_id, request_id_middleware
from mlxd.listener.routes import add_fallback
from mlxd.listener.security import SecurityRules, security_middleware


def ignore_error(_request: web.Request, _error: MlxdError) -> None:
    """Does nothing, for listeners that count nothing."""


def new_application(
    rules: Callable[[], SecurityRules],
    *,
    on_error: OnError = ignore_error,
    error_bodies: Mapping[str, ErrorBody] | None = None,
    before_security: Sequence[Middleware] = (),
) -> web.Application:
    """Returns an empty application; add routes with ``expect_handler=listener.framing.expect_continue``.

    ``rules`` is asked at each request. ``on_error`` hears of every error answer. ``error_bodies`` are the shapes of errors by path, as
    ``error_middleware`` takes them. The middlewares ``before_security`` also see what the rules refuse.
    """
    errors = error_middleware(on_error, error_bodies or {})
    app = web.Application(middlewares=[request_id_middleware, errors, *before_security, security_middleware(rules)])
    app.on_response_prepare.append(add_request_id)
    app.on_response_prepare.append(add_cors_headers)
    app.on_response_prepare.append(close_where_unsure)
    add_fallback(app)
    return app
