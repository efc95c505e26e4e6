"""Request ids: ours, or the client's where sane."""

import pytest
import structlog
from aiohttp import web

from mlxd.config.address import TcpAddress
from mlxd.listener.request_id import request_id
from mlxd.listener.server import Listener
from tests.unit.listener.conftest import Echo


@pytest.mark.parametrize("given", ["abc", "req-1.2:3/4+5=6@7_8", "x" * 128])
async def test_sane_ids_are_kept(echo, given):
    assert (await echo.get(x_request_id=given))[1]["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a;b", 'a"b', "<b>", "é"])
async def test_others_are_replaced(echo, given):
    made = (await echo.get(x_request_id=given))[1]["x-request-id"]
    assert made.startswith("req_")
    assert len(made) == 36


async def test_each_request_has_its_own(echo):
    ids = {(await echo.get())[1]["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


async def test_the_id_is_in_the_log_context_of_its_request_alone():
    seen = []

    async def handler(request):
        seen.append((structlog.contextvars.get_contextvars().get("request_id"), request_id(request)))
        return web.Response()

    made = Echo()
    app = made.application()
    app.router.add_get("/seen", handler)
    listener = Listener(app, [TcpAddress("127.0.0.1", 0)])
    await listener.start()
    made.port = listener.addresses[0].port
    await made.get("/seen", x_request_id="one")
    await made.get("/seen", x_request_id="two")
    await listener.stop()
    assert seen == [("one", "one"), ("two", "two")]
    assert structlog.contextvars.get_contextvars() == {}
