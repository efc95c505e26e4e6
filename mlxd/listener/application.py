"""A listener's application, with what every listener shares: request ids, errors, security, in this order."""

from collections.abc import Callable, Sequence

from aiohttp import web
from aiohttp.typedefs import Middleware

from mlxd.errors import MlxdError
from mlxd.listener.cors import add_cors_headers
from mlxd.listener.errors import ErrorBody, ErrorBodyOf, OnError, error_middleware, openai_error_body
from mlxd.listener.framing import close_where_unsure
from mlxd.listener.refusals import refusals_middleware
from mlxd.listener.request_id import add_request_id, request_id_middleware
from mlxd.listener.routes import add_fallback
from mlxd.listener.security import SecurityRules, security_middleware


def ignore_error(_request: web.Request, _error: MlxdError) -> None:
    """Does nothing, for listeners that count nothing."""


def openai_shape(_request: web.Request) -> ErrorBody:
    """Returns the shape of errors, for listeners that have one only."""
    return openai_error_body


def new_application(
    rules: Callable[[], SecurityRules],
    *,
    on_error: OnError = ignore_error,
    error_body_of: ErrorBodyOf = openai_shape,
    before_security: Sequence[Middleware] = (),
    after_security: Sequence[Middleware] = (),
) -> web.Application:
    """Returns an empty application; add routes with ``expect_handler=listener.framing.expect_continue``.

    ``rules`` is asked at each request. ``on_error`` hears of every error answer. ``error_body_of`` says which shape the
    errors of a request have. The middlewares ``before_security`` also see what the rules refuse; those ``after_security`` know who asks.
    """
    errors = error_middleware(on_error, error_body_of)
    security = [refusals_middleware(), security_middleware(rules)]
    app = web.Application(middlewares=[request_id_middleware, errors, *before_security, *security, *after_security])
    app.on_response_prepare.append(add_request_id)
    app.on_response_prepare.append(add_cors_headers)
    app.on_response_prepare.append(close_where_unsure)
    add_fallback(app)
    return app
