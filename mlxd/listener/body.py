"""Request bodies: bounded in size and time, and JSON without surprises.

Python's decoder is lenient where a proxy in front of us may not be (duplicate keys, NaN, lone surrogates); what two
readers could understand differently is refused.
"""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any, Never

from aiohttp import web

from mlxd.config.units import format_duration, format_size
from mlxd.errors import BodyTooLargeError, InvalidRequestError, RequestTimeoutError
from mlxd.listener.encoding import decoder_of
from mlxd.listener.framing import send_continue

_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SHOWN = 40  # characters of what the client sent, repeated in a message


@dataclass(frozen=True, kw_only=True)
class BodyLimits:
    """``max_size`` in bytes, and ``setting``: where it is configured; ``stall``: the longest silence, and ``total``: the longest
    upload, in seconds.
    """

    max_size: int
    setting: str = ""
    stall: float = 30.0
    total: float = 600.0


async def read_json_object(request: web.Request, limits: BodyLimits) -> dict[str, Any]:
    """Read and parse the body.

    Raises ``BodyTooLargeError``, ``RequestTimeoutError`` or ``InvalidRequestError``.
    """
    return parse_json_object(await read_body(request, limits))


async def read_body(request: web.Request, limits: BodyLimits) -> bytes:
    """The whole body, unpacked. Refused by its declared length where there is one, else as soon as it exceeds the limit."""
    if (request.content_length or 0) > limits.max_size:
        raise _too_large(limits)
    decoder = decoder_of(request)
    await send_continue(request)
    body = bytearray()
    try:
        async with asyncio.timeout(limits.total):
            while chunk := await _next_chunk(request, limits):
                room = limits.max_size - len(body)
                body += chunk if decoder is None else await asyncio.to_thread(decoder.feed, chunk, room)
                if len(body) > limits.max_size:
                    raise _too_large(limits)
        if decoder is not None:
            decoder.finish()
    except TimeoutError:
        raise RequestTimeoutError(f"the body was not complete after {format_duration(limits.total)}; send it faster") from None
    except (web.RequestPayloadError, ValueError) as error:
        raise InvalidRequestError("the body cannot be read: its transfer encoding is broken") from error
    return bytes(body)


async def _next_chunk(request: web.Request, limits: BodyLimits) -> bytes:
    try:
        async with asyncio.timeout(limits.stall) as timer:
            return await request.content.readany()
    except TimeoutError:
        if not timer.expired():
            raise
        raise RequestTimeoutError(f"the body stopped arriving for {format_duration(limits.stall)}; send it without pauses") from None


def _too_large(limits: BodyLimits) -> BodyTooLargeError:
    configured = f" ({limits.setting})" if limits.setting else ""
    return BodyTooLargeError(f"the body exceeds the limit of {format_size(limits.max_size)}{configured}")


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Raises ``InvalidRequestError`` with the line and column of what is wrong."""
    if not body.strip():
        raise InvalidRequestError("the body is empty; expected a JSON object")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"the body is not UTF-8: invalid byte at offset {error.start}") from error
    try:
        document = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise InvalidRequestError(f"the body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error
    except RecursionError:
        raise InvalidRequestError("the body is nested too deeply") from None
    except ValueError as error:  # an integer of thousands of digits
        raise InvalidRequestError(f"the body is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidRequestError(f"the body must be a JSON object, not {json_type(document)}")
    _refuse_lone_surrogates(text, document)
    return document


def json_type(value: object) -> str:
    """A value's type in JSON's words, with an article."""
    names: dict[type, str] = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)[:_SHOWN]
        raise InvalidRequestError(f"the key {twice!r} appears twice in one object", param=twice)
    return found


def _no_constant(name: str) -> Never:
    raise InvalidRequestError(f"the body is not valid JSON: {name} is no JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise InvalidRequestError(f"the number {digits[:_SHOWN]} is too large")
    return value


def _refuse_lone_surrogates(text: str, document: object) -> None:
    """Half a character has no UTF-8, so no tokenizer and no log could take it."""
    if not _ESCAPED_SURROGATE.search(text):
        return
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError("the body has a lone surrogate (half of a \\ud800-\\udfff pair) in a string") from error
