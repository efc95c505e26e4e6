"""Request bodies: bounded in size and time, and worked off without holding anybody up."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from aiohttp import web

from mlxd.config.units import format_duration, format_size
from mlxd.errors import BodyTooLargeError, InvalidRequestError, RequestTimeoutError
from mlxd.listener.encoding import decoder_of
from mlxd.listener.framing import send_continue
from mlxd.listener.json_text import parse_json_object

_LARGE = 64 * 1024  # bytes; working off smaller bodies takes a few milliseconds at most
_ONE_AT_A_TIME = ThreadPoolExecutor(max_workers=1, thread_name_prefix="large-body")  # of two threads, each could hold the interpreter next

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class BodyLimits:
    """The bounds of a body: ``max_size`` is in bytes, and ``setting`` says where it is configured; ``stall`` is the longest silence and
    ``total`` the longest upload, in seconds.
    """

    max_size: int
    setting: str = ""
    stall: float = 30.0
    total: float = 600.0


async def read_json_object(request: web.Request, limits: BodyLimits) -> dict[str, Any]:
    """Reads and parses the body. Raises ``BodyTooLargeError``, ``RequestTimeoutError`` or ``InvalidRequestError``."""
    body = await read_body(request, limits)
    return await aside(len(body), parse_json_object, body)


async def aside(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Does what has to be done with a body of ``size`` bytes: at once where it is small, else in a thread, one after the other."""
    if size < _LARGE:
        return work(*args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_ONE_AT_A_TIME, partial(work, *args, **kwargs))


async def read_body(request: web.Request, limits: BodyLimits) -> bytearray:
    """Returns the whole body, unpacked. Refuses it by its declared length where there is one, else as soon as it exceeds the limit."""
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
    return body


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
