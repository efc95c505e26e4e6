"""Workers in threads of this process that many tests share: each has one as if it had just been loaded."""

import pytest
import pytest_asyncio

from tests.support.tiny_model import make_tiny_model
from tests.worker.requests.shared_worker import loaded, reconfigure, renewed, slow_steps
from tests.worker.worker_link import MODES


@pytest.fixture(params=MODES, scope="module")
def mode(request):
    return request.param


@pytest.fixture(scope="session")
def long(tmp_path_factory):
    """A tiny model whose context is large."""
    return make_tiny_model(tmp_path_factory.mktemp("long"), max_position_embeddings=16384)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _link(tiny, mode):
    async with loaded(tiny, mode) as link:
        yield link


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _speaker(scripted, mode):
    async with loaded(scripted, mode) as link:
        yield link


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _slow_link(long, mode):
    with slow_steps():
        async with loaded(long, mode) as link:
            yield link


@pytest_asyncio.fixture(loop_scope="module")
async def link(_link):
    return await renewed(_link)


@pytest_asyncio.fixture(loop_scope="module")
async def speaker(_speaker):
    return await renewed(_speaker)


@pytest_asyncio.fixture(loop_scope="module")
async def slow_link(_slow_link):
    return await renewed(_slow_link)


@pytest_asyncio.fixture(loop_scope="module")
async def one_by_one(slow_link):
    """A slow worker that serves one request at a time: a test can act while it computes."""
    await reconfigure(slow_link, max_sequences=1)
    return slow_link
