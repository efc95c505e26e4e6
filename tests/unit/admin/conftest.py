import aiohttp
import pytest

from mlxd.admin.app import build_admin_app
from mlxd.config.address import parse_address
from mlxd.listener.security import SecurityRules
from mlxd.listener.server import Listener
from tests.support.statuses import FakeDaemon, model_status, running_status


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


@pytest.fixture
async def admin(daemon, serve):
    """A client of the admin API of ``daemon``, without tokens."""
    url = await serve(build_admin_app(daemon.sources, SecurityRules))
    async with aiohttp.ClientSession(url) as session:
        yield session
