import pytest

from tests.support.media_server import HOST, media_server


@pytest.fixture
async def pictures():
    async with media_server() as serving:
        yield serving


@pytest.fixture
def showing(server, pictures):
    """A listener that may fetch from the pictures' server by one name, and from public addresses at its port."""
    server.names[HOST] = ["127.0.0.1"]
    server.set_media(allowed_hosts=("*", f"*:{pictures.port}", f"{HOST}:{pictures.port}"))
    return server
