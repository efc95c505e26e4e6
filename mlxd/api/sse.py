"""Server-sent events: a stream that says it lives while it has nothing to say.

Format: WHATWG HTML, 9.2 "Server-sent events".
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}
_LAST_WORD = 5.0  # seconds a client has to take the end of a stream that failed

_COMMENT = b": keep-alive\n\n"

T = TypeVar("T")


@dataclass(frozen=True)
class SseEvent:
    """An event, whose ``data`` holds no line break; one without ``name`` is a "message"."""

    data: bytes
    name: str | None = None

    def encoded(self) -> bytes:
        """Returns the event as it goes over the wire."""
        name = f"event: {self.name}\n".encode() if self.name else b""
        return name + b"data: " + self.data + b"\n\n"


class SseWriter:
    """A writer of one response. Its headers go out with the first event or comment, so that until then an error may still have a status."""

    def __init__(self, request: web.Request, keep_alive: float, sign_of_life: SseEvent | None = None) -> None:
        """``keep_alive`` is in seconds; without ``sign_of_life`` a comment says that the stream lives."""
        self._request = request
        self._keep_alive = keep_alive
        self._sign_of_life = _COMMENT if sign_of_life is None else sign_of_life.encoded()
        self._last_write = time.monotonic()
        self.response = web.StreamResponse(headers=_HEADERS)

    @property
    def started(self) -> bool:
        """Tells whether the status is out: an error can only be an event then."""
        return self.response.prepared

    async def start(self, headers: dict[str, str]) -> None:
        """Sends the headers now, with these in addition; does nothing once they are out."""
        if not self.started:
            self.response.headers.update(headers)
            await self.response.prepare(self._request)

    def until_keep_alive(self) -> float:
        """Returns the seconds until a sign of life is due."""
        return max(0.0, self._last_write + self._keep_alive - time.monotonic())

    async def send(self, event: SseEvent) -> None:
        """Sends one event. Waits while the client does not read (the transport's buffer is full)."""
        await self._write(event.encoded())

    async def keep_alive(self, events: Iterable[SseEvent] = ()) -> None:
        """Sends a sign of life: these events, or what there is for streams without such. Clients skip it, proxies see traffic."""
        await self._write(b"".join(event.encoded() for event in events) or self._sign_of_life)

    async def alive_during(self, work: Awaitable[T]) -> T:
        """Returns what the work returns, or raises what it raises; signs of life are sent while it takes long."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=self.until_keep_alive())
                if not task.done():
                    await self.keep_alive()
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def end(self) -> None:
        await self.response.write_eof()

    async def fail(self, events: Iterable[SseEvent]) -> None:
        """Sends the last events, and ends the response; what it failed of is no fault of the connection, which may be used again. A client
        that does not even take that is cut off.
        """
        try:
            async with asyncio.timeout(_LAST_WORD):
                for event in events:
                    await self.send(event)
                await self.response.write_eof()
        except TimeoutError:
            self.cut_off()
        except asyncio.CancelledError:  # also where the deadline cancelled an earlier wait for the client: aiohttp's writer stays so
            self.cut_off()
            raise

    def cut_off(self) -> None:
        """Drops the connection, and whatever the client did not read."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _write(self, chunk: bytes) -> None:
        await self.start({})
        self._last_write = time.monotonic()
        await self.response.write(chunk)


async def with_ticks(source: AsyncIterable[T], until_tick: Callable[[], float]) -> AsyncGenerator[T | None]:
    """Yields the items of ``source``, and ``None`` whenever ``until_tick()`` seconds pass without one.

    Waiting with a timeout would cancel the source's own wait and lose it; so a task waits, and the timeout is outside.
    """
    iterator = aiter(source)
    pending = asyncio.ensure_future(_next(iterator))
    try:
        while True:
            done, _ = await asyncio.wait({pending}, timeout=until_tick())
            if not done:
                yield None
                continue
            item = pending.result()
            if item is None:
                return
            pending = asyncio.ensure_future(_next(iterator))
            yield item
    finally:
        pending.cancel()
        await asyncio.wait({pending})
        if not pending.cancelled():
            pending.exception()  # seen: asyncio need not complain of it


async def _next(iterator: AsyncIterator[T]) -> T | None:
    return await anext(iterator, None)
