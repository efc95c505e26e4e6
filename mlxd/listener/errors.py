"""Errors as HTTP answers: one shape for everything that goes wrong, whoever noticed it."""

import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import HttpVersion11, web
from aiohttp.typedefs import Handler, Middleware

from mlxd.errors import (
    BodyTooLargeError,
    InvalidRequestError,
    MethodNotAllowedError,
    MlxdError,
    NotFoundError,
    RequestTimeoutError,
    UnauthorizedError,
    excerpt,
)

log = structlog.get_logger(__name__)

ErrorBody = Callable[[MlxdError], dict[str, Any]]
OnError = Callable[[web.Request, MlxdError], None]

_CLOSE_AFTER = (BodyTooLargeError, RequestTimeoutError)  # the rest of the body is not worth waiting for


def openai_error_body(error: MlxdError) -> dict[str, Any]:
    """``{"error": {"message", "type", "param", "code"}}``, as OpenAI's clients expect it."""
    return {"error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}}


def internal_error() -> MlxdError:
    """What a client learns of a bug of ours. The log has the traceback, under the request's id."""
    return MlxdError("internal error; the log has the details under the request id of this answer's x-request-id header")


def error_response(error: MlxdError, body: ErrorBody = openai_error_body) -> web.Response:
    """The whole answer: status, headers and body."""
    response = web.json_response(body(error), status=error.status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, UnauthorizedError):
        response.headers["WWW-Authenticate"] = 'Bearer realm="mlxd"'
    if isinstance(error, _CLOSE_AFTER):
        response.force_close()
    return response


def error_middleware(on_error: OnError, bodies: Mapping[str, ErrorBody]) -> Middleware:
    """Turn whatever a handler raises into an answer, and tell ``on_error`` of each.

    ``bodies`` maps a route's canonical path (``"/v1/messages"``) to its shape of errors; all others get OpenAI's.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers: dict[str, str] = {}
        try:
            return await handler(request)
        except MlxdError as raised:
            error = raised
        except web.HTTPException as raised:
            if raised.status < HTTPStatus.BAD_REQUEST:
                raise
            error = _from_aiohttp(raised, request)
            if "Allow" in raised.headers:
                headers["Allow"] = raised.headers["Allow"]
        except Exception as bug:
            if _is_disconnect(bug, request):
                raise
            log.exception("request_crashed", method=excerpt(request.method), route=_route(request))
            error = internal_error()
        on_error(request, error)
        response = error_response(error, bodies.get(_route(request), openai_error_body))
        response.headers.update(headers)
        if request.content.exception() is not None:
            response.force_close()  # where this body ends, and the next request begins, is anyone's guess
        return response

    return middleware


async def expect_continue(request: web.Request) -> web.StreamResponse | None:
    """``Expect`` handler of a route: aiohttp's own answers in plain text, and before any middleware."""
    if request.version < HttpVersion11:  # RFC 9110, 10.1.1: ignored there
        return None
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # or aiohttp takes the interim answer for a begun response
        return None
    return error_response(InvalidRequestError('the only expectation understood is "Expect: 100-continue"'))


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _is_disconnect(error: Exception, request: web.Request) -> bool:
    return isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing())


def _from_aiohttp(error: web.HTTPException, request: web.Request) -> MlxdError:
    if isinstance(error, web.HTTPNotFound):
        return NotFoundError(f"no such path: {excerpt(request.path)}")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return MethodNotAllowedError(f"{excerpt(request.method)} is not allowed on {excerpt(request.path)}; use {allowed}")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return BodyTooLargeError("the request body is too large")
    if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return InvalidRequestError(error.reason)
    log.error("request_crashed", method=excerpt(request.method), route=_route(request), status=error.status, reason=error.reason)
    return internal_error()
