"""Reading requests and writing answers, as all handlers of the admin API do it."""

from collections.abc import Container, Mapping
from http import HTTPStatus
from typing import TypeVar

import msgspec
from aiohttp import web

from mlxd.admin import answers
from mlxd.admin.route import JSON
from mlxd.config.document import MAX_FILE
from mlxd.errors import BodyTooLargeError, InvalidRequestError, MlxdError, UnsupportedMediaTypeError, excerpt
from mlxd.listener.body import BodyLimits, read_body, read_json_object
from mlxd.listener.json_text import parse_json_object

T = TypeVar("T")

LIMITS: web.AppKey[BodyLimits] = web.AppKey("limits", BodyLimits)
BODY_LIMITS = BodyLimits(max_size=MAX_FILE, stall=10.0, total=60.0)  # seconds
_NO_BODY = BodyLimits(max_size=64, stall=10.0, total=60.0)  # room for {} with blanks
_FLAGS = {"1": True, "true": True, "0": False, "false": False}


def reply(document: msgspec.Struct, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), status=status, content_type="application/json", headers=headers)


def error_body(error: MlxdError) -> answers.ErrorBody:
    """Returns an error as part of a document."""
    return answers.ErrorBody(message=error.message, type=error.kind, param=error.param, code=error.code)


def flag(request: web.Request, name: str) -> bool:
    """Reads a query parameter that is "1", "true", "0" or "false"; an absent one is False. Raises ``InvalidRequestError``."""
    match request.query.getall(name, ["0"]):
        case [text] if text in _FLAGS:
            return _FLAGS[text]
        case [text]:
            raise InvalidRequestError(f'{name} must be "1" or "0", not {excerpt(text)!r}', param=name)
        case _:
            raise InvalidRequestError(f"{name} must be given once", param=name)


def refuse_unknown(request: web.Request, parameters: Container[str], content_type: str | None) -> None:
    """Refuses what a call does not know, since it would change what the call does in the mind of whoever sends it. Raises
    ``InvalidRequestError`` or ``UnsupportedMediaTypeError``. ``content_type`` is that of its body, if it takes one.
    """
    unknown = next((excerpt(name) for name in request.query if name not in parameters), None)
    if unknown is not None:
        raise InvalidRequestError(f"there is no parameter {unknown!r} here", param=unknown)
    if request.body_exists and content_type is not None and request.content_type != content_type:
        raise UnsupportedMediaTypeError(f'the body must be sent as "Content-Type: {content_type}", not {request.content_type}')


async def refuse_body(request: web.Request) -> None:
    """Of a call that takes none, ``{}`` is none: clients send it where they have nothing to say. Raises ``InvalidRequestError``."""
    if request.body_exists and not await _is_empty_object(request):
        raise InvalidRequestError("this call takes no body")


async def _is_empty_object(request: web.Request) -> bool:
    if request.content_type != JSON:
        return False
    try:
        body = await read_body(request, _NO_BODY)
    except BodyTooLargeError:
        return False
    return not body.strip() or parse_json_object(body) == {}


async def read_text(request: web.Request) -> str:
    """Returns the body as text. Raises as ``listener.body.read_body``, and ``InvalidRequestError`` where it is empty or no UTF-8."""
    body = await read_body(request, request.app[LIMITS])
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"the body is not UTF-8: invalid byte at offset {error.start}") from error
    if not text.strip():
        raise InvalidRequestError("the body is empty; expected the text of a configuration file")
    return text


async def read_document(request: web.Request, kind: type[T]) -> T:
    """Returns the body as a document. Raises as ``listener.body.read_json_object``, and ``InvalidRequestError`` where it is another."""
    body = await read_json_object(request, request.app[LIMITS])
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"the body is not what is expected here: {error}") from error
