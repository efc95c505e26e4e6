import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property

import aiohttp
import pytest

from mlxd.api.app import ApiSources, build_app
from mlxd.api.media.gallery import Gallery
from mlxd.config.address import TcpAddress
from mlxd.config.principal import principals
from mlxd.config.schema import Config
from mlxd.control.live_requests import LiveRequests
from mlxd.control.quotas.key_uses import KeyUses
from mlxd.listener.server import Listener
from mlxd.observability.tracing import Tracing
from tests.support.certificates import Authority
from tests.support.fake_registry import FakeModel, FakeRegistry, FakeTelemetry

HELLO = {"model": "tiny", "messages": [{"role": "user", "content": "hello there"}]}


@dataclass
class Server:
    """The inference listener on a real socket, over one model whose worker the test plays."""

    registry: FakeRegistry = field(default_factory=FakeRegistry)
    telemetry: FakeTelemetry = field(default_factory=FakeTelemetry)
    tracing: Tracing = field(default_factory=Tracing)
    requests: LiveRequests = field(default_factory=LiveRequests)
    config: Config = field(default_factory=Config)
    now: float = 1000.0  # by the clock of limits
    names: dict[str, list[str]] = field(default_factory=dict)  # addresses of hosts that pictures are fetched from
    looked_up: list[str] = field(default_factory=list)
    port: int = 0
    session: aiohttp.ClientSession | None = None

    @property
    def model(self) -> FakeModel:
        return self.registry.models["tiny"]

    @property
    def worker(self):
        return self.model.client

    @cached_property
    def key_uses(self) -> KeyUses:
        return KeyUses(lambda: principals(self.config.server), lambda: self.now)

    @cached_property
    def gallery(self) -> Gallery:
        return Gallery(self.lookup)

    async def lookup(self, host: str, _port: int) -> list[str]:
        self.looked_up.append(host)
        found = self.names.get(host.lower().removesuffix("."))
        if found is None:
            raise OSError(f"unknown: {host}")
        return found

    def set_media(self, **values) -> None:
        self.set_server(media=self.config.server.media.model_copy(update=values))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def set_server(self, **values) -> None:
        """Change the running configuration, as a reload would."""
        server = self.config.server.model_copy(update=values)
        self.config = self.config.model_copy(update={"server": server})

    def log_content(self) -> None:
        self.config = self.config.model_copy(update={"log": self.config.log.model_copy(update={"content": True})})

    def post(self, body, path="/v1/chat/completions", **options):
        return self.session.post(self.url + path, json=body, **options)

    async def answer(self, body, path="/v1/chat/completions", **options):
        async with self.post(body, path, **options) as response:
            return response.status, await response.json(), response.headers

    @asynccontextmanager
    async def raw(self):
        """A connection of its own, to misbehave on."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    def raw_post(self, body, path="/v1/chat/completions") -> bytes:
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        return head.encode() + data


@pytest.fixture(scope="session")
def one_authority(tmp_path_factory):
    path = tmp_path_factory.mktemp("authority") / "authority.pem"
    Authority().write(path)
    return path


@pytest.fixture
def few_authorities(monkeypatch, one_authority):
    """For SDKs, each of whose clients reads all that the system trusts, for 20 ms of the processor, though it speaks plain HTTP here."""
    monkeypatch.setenv("SSL_CERT_FILE", str(one_authority))


@pytest.fixture
async def server():
    async with serve() as serving:
        yield serving


@asynccontextmanager
async def serve():
    """A listener for as long as the block lasts."""
    serving = Server()
    serving.registry.add("tiny", aliases=["small"])
    sources = ApiSources(
        models=serving.registry,
        telemetry=serving.telemetry,
        tracer=serving.tracing,
        requests=serving.requests,
        key_uses=serving.key_uses,
        config=lambda: serving.config,
        gallery=serving.gallery,
    )
    listener = Listener(build_app(sources), [TcpAddress("127.0.0.1", 0)], shutdown_timeout=0.2)
    await listener.start()
    serving.port = listener.addresses[0].port
    async with aiohttp.ClientSession() as serving.session:
        yield serving
    await listener.stop()


def sse_data(text: str) -> list:
    """The ``data:`` events of a stream, parsed; ``[DONE]`` as it is."""
    lines = [block.removeprefix("data: ") for block in text.split("\n\n") if block.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def sse_events(text: str) -> list:
    """The data of named events of a stream, parsed; each has its name as its type."""
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.split("\n\n") if block.startswith("event: ")]
    found = [(block["event"], json.loads(block["data"])) for block in blocks]
    assert all(name == data["type"] for name, data in found)
    return [data for _, data in found]
