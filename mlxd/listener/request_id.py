"""Request ids: taken from the client where sane, else made here; on every response and on every log line."""

import re
import uuid

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

HEADER = "x-request-id"
_REQUEST_ID = web.RequestKey("mlxd.request_id", str)
_SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")  # nothing that could break a log line or a header


def request_id(request: web.BaseRequest) -> str:
    """Returns the id of this request, which is made at the first call."""
    known: str | None = request.get(_REQUEST_ID)
    if known is not None:
        return known
    given = request.headers.get(HEADER, "")
    made: str = given if _SANE.fullmatch(given) else f"req_{uuid.uuid4().hex}"
    request[_REQUEST_ID] = made
    return made


@web.middleware
async def request_id_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Binds the id to the log context. aiohttp runs each request in a task of its own, so nothing leaks to the next."""
    structlog.contextvars.bind_contextvars(request_id=request_id(request))
    return await handler(request)


async def add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """Adds the header as an ``on_response_prepare`` signal, so that streams and errors get it too."""
    response.headers[HEADER] = request_id(request)
