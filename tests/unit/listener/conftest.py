import asyncio
import json
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from mlxd.config.address import TcpAddress
from mlxd.listener.application import new_application
from mlxd.listener.body import BodyLimits, read_json_object
from mlxd.listener.framing import expect_continue
from mlxd.listener.security import ROLE, SecurityRules
from mlxd.listener.server import Listener
from tests.support.patience import PATIENCE


@dataclass
class Echo:
    """A listener with one path that repeats its JSON body; the test sets its rules and limits."""

    rules: SecurityRules = field(default_factory=SecurityRules)
    limits: BodyLimits = field(default_factory=lambda: BodyLimits(max_size=10_000))
    errors: list = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    def application(self, **options):
        app = new_application(lambda: self.rules, on_error=lambda _request, error: self.errors.append(error.code), **options)
        for path in ("/echo", "/health", "/metrics", "/other"):
            app.router.add_get(path, self.show, expect_handler=expect_continue)
        app.router.add_post("/echo", self.echo, expect_handler=expect_continue)
        app.router.add_get("/wait", self.wait)
        return app

    async def show(self, request):
        return web.json_response({"role": request[ROLE]})

    async def echo(self, request):
        return web.json_response(await read_json_object(request, self.limits))

    async def wait(self, _request):
        self.entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    async def raw(self, data: bytes) -> tuple[int, dict, dict]:
        """Send bytes as they are; status, headers (lower case) and JSON body of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        try:
            return await read_answer(reader, has_body=not data.startswith(b"HEAD"))
        finally:
            writer.close()

    async def get(self, path="/echo", host="localhost", method="GET", **headers):
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
        return await self.raw("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape"))

    async def post(self, body: bytes, **headers):
        return await self.raw(post_bytes(body, **headers))


def post_bytes(body: bytes, **headers) -> bytes:
    headers = {"Content_Type": "application/json", "Content_Length": len(body)} | headers
    lines = ["POST /echo HTTP/1.1", "Host: localhost", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def read_answer(reader, *, has_body=True):
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)).decode()
    status, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await asyncio.wait_for(reader.readexactly(int(headers.get("content-length", 0)) if has_body else 0), PATIENCE)
    return int(status.split()[1]), headers, json.loads(body) if body else {}


@pytest.fixture
async def echo():
    made = Echo()
    listener = Listener(made.application(), [TcpAddress("127.0.0.1", 0)], shutdown_timeout=0.2)
    await listener.start()
    made.port = listener.addresses[0].port
    yield made
    await listener.stop()
