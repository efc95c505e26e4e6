"""Errors as HTTP answers: one shape for everything that goes wrong, whoever noticed it."""

import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from mlxd.errors import (
    BodyTooLargeError,
    ContentEncodingError,
    InvalidRequestError,
    MethodNotAllowedError,
    MlxdError,
    NotFoundError,
    RequestTimeoutError,
    UnauthorizedError,
    excerpt,
)
from mlxd.listener.encoding import TAKEN
from mlxd.listener.routes import route_of

log = structlog.get_logger(__name__)

ErrorBody = Callable[[MlxdError], dict[str, Any]]
ErrorBodyOf = Callable[[web.Request], ErrorBody]
OnError = Callable[[web.Request, MlxdError], None]

_CLOSE_AFTER = (BodyTooLargeError, RequestTimeoutError)  # the rest of the body is not worth waiting for


def openai_error_body(error: MlxdError) -> dict[str, Any]:
    """Returns ``{"error": {"message", "type", "param", "code"}}``, as OpenAI's clients expect it."""
    return {"error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}}


def internal_error() -> MlxdError:
    """Returns what a client learns of a bug of ours. The log has the traceback, under the request's id."""
    return MlxdError("internal error; the log has the details under the request id of this answer's x-request-id header")


def error_response(error: MlxdError, body: ErrorBody = openai_error_body) -> web.Response:
    """Returns the whole answer: status, headers and body."""
    response = web.json_response(body(error), status=error.status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, MethodNotAllowedError):
        response.headers["Allow"] = ",".join(error.allowed)
    if isinstance(error, ContentEncodingError):
        response.headers["Accept-Encoding"] = TAKEN
    if isinstance(error, UnauthorizedError):
        response.headers["WWW-Authenticate"] = 'Bearer realm="mlxd"'
    if isinstance(error, _CLOSE_AFTER):
        response.force_close()
    return response


def error_middleware(on_error: OnError, body_of: ErrorBodyOf) -> Middleware:
    """Turns whatever a handler raises into an answer, in the shape that ``body_of`` gives its request, and tells ``on_error`` of each."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except MlxdError as raised:
            error = raised
        except web.HTTPException as raised:
            if raised.status < HTTPStatus.BAD_REQUEST:
                raise
            error = _from_aiohttp(raised, request)
        except Exception as bug:
            if _is_disconnect(bug, request):
                raise
            log.exception("request_crashed", method=excerpt(request.method), route=route_of(request))
            error = internal_error()
        on_error(request, error)
        return error_response(error, body_of(request))

    return middleware


def _is_disconnect(error: Exception, request: web.Request) -> bool:
    return isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing())


def _from_aiohttp(error: web.HTTPException, request: web.Request) -> MlxdError:
    if isinstance(error, web.HTTPNotFound):
        return NotFoundError(f"no such path: {excerpt(request.path)}")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return BodyTooLargeError("the request body is too large")
    if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return InvalidRequestError(error.reason)
    log.error("request_crashed", method=excerpt(request.method), route=route_of(request), status=error.status, reason=error.reason)
    return internal_error()
