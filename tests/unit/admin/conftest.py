from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from yarl import URL

from mlxd.admin.app import build_admin_app, rules_of
from mlxd.config.address import parse_address
from mlxd.config.schema import AdminTable
from mlxd.listener.server import Listener
from tests.support.statuses import FakeDaemon, model_status, running_status

TOML = {"Content-Type": "application/toml"}
OPEN = AdminTable()
GUARDED = AdminTable(token="full-token", read_token="read-token")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: Any

    @property
    def code(self):
        """Of the error it is; None where it is none."""
        return (self.body.get("error") or {}).get("code")


async def call(session, method, path, **kwargs):
    """One request, its path sent as it is written here."""
    async with session.request(method, URL(path, encoded=True), **kwargs) as response:
        is_json = response.content_type == "application/json"
        return Answer(response.status, response.headers, await response.json() if is_json else {})


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def daemon():
    return FakeDaemon(running_status("tiny", aliases=("default",)), running_status("org/Name-4bit"), model_status("other"))


@pytest.fixture
async def serve():
    """Serve an application on a free port of loopback; the base URL."""
    started = []

    async def start(app):
        listener = Listener(app, [parse_address("127.0.0.1:0")])
        await listener.start()
        started.append(listener)
        return f"http://{listener.addresses[0]}"

    yield start
    for listener in started:
        await listener.stop()


async def client(serve, daemon, table):
    url = await serve(build_admin_app(daemon.sources, lambda: rules_of(table)))
    return aiohttp.ClientSession(url)


@pytest.fixture
async def admin(daemon, serve):
    """A client of the admin API of ``daemon``, without tokens."""
    async with await client(serve, daemon, OPEN) as session:
        yield session


@pytest.fixture
async def guarded(daemon, serve):
    """The same, where ``full-token`` and ``read-token`` are configured; it sends none by itself."""
    async with await client(serve, daemon, GUARDED) as session:
        yield session
