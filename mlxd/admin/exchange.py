"""Reading requests and writing answers, as all handlers of the admin API do it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar

import msgspec
from aiohttp import web

from mlxd.admin import answers
from mlxd.errors import InvalidRequestError, MlxdError
from mlxd.listener.body import BodyLimits, read_body

T = TypeVar("T")

_LIMITS = BodyLimits(max_size=4 * 2**20, stall=10.0, total=60.0)  # the largest configuration file there can be
_FLAGS = {"1": True, "true": True, "0": False, "false": False}


def reply(document: msgspec.Struct, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> web.Response:
    """A document as JSON."""
    return web.Response(body=msgspec.json.encode(document), status=status, content_type="application/json", headers=headers)


def error_body(error: MlxdError) -> answers.ErrorBody:
    """An error as part of a document."""
    return answers.ErrorBody(message=error.message, type=error.kind, param=error.param, code=error.code)


def flag(request: web.Request, name: str) -> bool:
    """A query parameter that is "1", "true", "0" or "false"; absent: False. Raises ``InvalidRequestError``."""
    text = request.query.get(name, "0")
    if text not in _FLAGS:
        raise InvalidRequestError(f'{name} must be "1" or "0", not {text[:40]!r}', param=name)
    return _FLAGS[text]


async def read_text(request: web.Request) -> str:
    """The body as text. Raises as ``listener.body.read_body``, and ``InvalidRequestError`` where it is empty or no UTF-8."""
    body = await read_body(request, _LIMITS)
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"the body is not UTF-8: invalid byte at offset {error.start}") from error
    if not text.strip():
        raise InvalidRequestError("the body is empty; expected the text of a configuration file")
    return text


async def read_document(request: web.Request, kind: type[T]) -> T:
    """The body as a document. Raises as ``listener.body.read_body``, and ``InvalidRequestError`` where it is another."""
    body = await read_body(request, _LIMITS)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise InvalidRequestError(f"the body is not what is expected here: {error}") from error
