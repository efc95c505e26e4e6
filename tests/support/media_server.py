"""A server of pictures on loopback, which does to its clients what servers do, and remembers who asked for what."""

import asyncio
import gzip
import zlib
from contextlib import asynccontextmanager

from aiohttp import web

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
HOST = "media.test"


class MediaServer:
    """``asked`` are the paths of all requests, ``gone`` those whose client went away before the end. ``held`` are requests that are
    answered once they are let go.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.gone: list[str] = []
        self.left = asyncio.Event()
        self.waiting = asyncio.Event()
        self.held: asyncio.Queue[asyncio.Event] = asyncio.Queue()
        self.at_once = self.most_at_once = 0
        self.port = 0

    def url(self, path: str, host: str = HOST) -> str:
        return f"http://{host}:{self.port}{path}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        self.headers.append(dict(request.headers))
        try:
            return await getattr(self, f"_{request.match_info['what']}")(request)
        except (asyncio.CancelledError, ConnectionError):
            self.gone.append(request.path)
            self.left.set()
            raise

    async def _picture(self, request: web.Request) -> web.Response:
        return web.Response(body=PICTURE + request.rel_url.raw_query_string.encode(), content_type="text/html")

    async def _empty(self, _request: web.Request) -> web.Response:
        return web.Response(body=b"")

    async def _status(self, request: web.Request) -> web.Response:
        return web.Response(status=int(request.query_string), body=PICTURE if request.query_string != "204" else None)

    async def _to(self, request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": request.query["url"]})

    async def _nowhere(self, _request: web.Request) -> web.Response:
        return web.Response(status=302)

    async def _hops(self, request: web.Request) -> web.Response:
        left = int(request.query["n"])
        return web.Response(status=307, headers={"Location": f"/hops?n={left - 1}" if left else "/picture"})

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(4096))

    async def _silent(self, request: web.Request) -> web.StreamResponse:
        self.waiting.set()
        await asyncio.Event().wait()
        raise AssertionError(request.path)

    async def _held(self, _request: web.Request) -> web.Response:
        free = asyncio.Event()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.held.put_nowait(free)
        await free.wait()
        self.at_once -= 1
        return web.Response(body=PICTURE)

    async def _slow(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.01)

    async def _announced(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(2**40)})
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    async def _cut(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"x")
        request.transport.close()
        return response

    async def _gzip(self, request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(PICTURE), headers={"Content-Encoding": "gzip"})

    async def _bomb(self, _request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(bytes(64 * 2**20)), headers={"Content-Encoding": "gzip"})

    async def _half(self, _request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(PICTURE)[:-6], headers={"Content-Encoding": "gzip"})

    async def _brotli(self, _request: web.Request) -> web.Response:
        return web.Response(body=zlib.compress(PICTURE), headers={"Content-Encoding": "br"})


@asynccontextmanager
async def media_server():
    serving = MediaServer()
    app = web.Application()
    app.router.add_get("/{what}", serving.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    serving.port = runner.addresses[0][1]
    try:
        yield serving
    finally:
        await runner.cleanup()


@asynccontextmanager
async def saying(data: bytes):
    """A port at which anybody is told ``data``, whatever they say; yields its number."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.close()

    listening = await asyncio.start_server(say, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
