"""Errors as Anthropic's clients expect them, and which requests are theirs."""

import re
from functools import partial, wraps
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from mlxd.errors import ContextLengthError, MlxdError, UnsupportedParameterError
from mlxd.listener.errors import ErrorBody
from mlxd.listener.request_id import request_id

ROOT = "/v1/messages"
THREAD = "thread"  # the field that asks for a conversation to be kept
_VERSION = "anthropic-version"
_REQUEST_ID = "request-id"  # where Anthropic's SDKs look for it

_BY_STATUS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_LENGTHS = re.compile(r"has (\d+) tokens, but the model's context holds (\d+)")


def is_anthropic(request: web.Request) -> bool:
    """Tells whether a client of this API sent the request: whatever is below its path, and whatever names a version of it."""
    return request.path == ROOT or request.path.startswith(f"{ROOT}/") or _VERSION in request.headers


def by_client(*, anthropic: Handler, other: Handler) -> Handler:
    """Returns the handler of a path that this API shares with another one, by whose it is described."""

    @wraps(other)
    async def handler(request: web.Request) -> web.StreamResponse:
        return await (anthropic if is_anthropic(request) else other)(request)

    return handler


def identified(request: web.Request) -> ErrorBody:
    """Returns the shape of the errors of one request, which tell its id."""
    return partial(anthropic_error_body, identity=request_id(request))


def anthropic_error_body(error: MlxdError, identity: str | None = None) -> dict[str, Any]:
    """Returns ``{"type": "error", "error": {"type", "message"}}``, with the request's id where it is known."""
    told = {"type": _type_of(error), "message": _said(error)} | _details(error)
    body: dict[str, Any] = {"type": "error", "error": told}
    return body if identity is None else {**body, "request_id": identity}


async def add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """Adds the header of the id, as an ``on_response_prepare`` signal, by the name that this API has for it."""
    if is_anthropic(request):
        response.headers[_REQUEST_ID] = request_id(request)


def _type_of(error: MlxdError) -> str:
    return _BY_STATUS.get(error.status, "invalid_request_error" if 400 <= error.status < 499 else "api_error")


def _details(error: MlxdError) -> dict[str, Any]:
    """Returns what SDKs read where they ask for a conversation to be kept here: that they should go on without."""
    if not isinstance(error, UnsupportedParameterError) or error.param != THREAD:
        return {}
    return {"details": {"error_code": "thread_unsupported_request", "unsupported": [THREAD]}}


def _said(error: MlxdError) -> str:
    """Returns the message. Agents make a conversation shorter where they read that its prompt is too long, in these words."""
    if not isinstance(error, ContextLengthError):
        return error.message
    lengths = _LENGTHS.search(error.message)
    told = f"{lengths[1]} tokens > {lengths[2]} maximum" if lengths else error.message
    return f"prompt is too long: {told}"
