"""An operator ends a request: its client gets a typed error, wherever the request is, and the worker stops computing for it."""

import asyncio

import pytest

from mlxd.control.live_requests import Stage
from mlxd.errors import NotFoundError
from tests.support.patience import PATIENCE
from tests.unit.api.conftest import HELLO, sse_data


def cancel(server):
    """The only request there is."""
    [live] = server.requests.of("tiny")
    server.requests.cancel("tiny", live.id)
    return live


async def test_one_that_runs(server):
    asked = asyncio.create_task(server.answer(HELLO))
    request = await server.worker.next_request()
    request.started()
    request.delta("Hi")
    live = cancel(server)
    assert live.id == request.generate.id  # the one that its answer would have
    status, body, _ = await asked
    assert (status, body["error"]["code"]) == (499, "request_cancelled")
    await asyncio.wait_for(request.aborted.wait(), PATIENCE)
    record = await server.telemetry.next_record()
    assert (record.error, record.model) == ("request_cancelled", "tiny")
    assert server.requests.of("tiny") == []


async def test_one_that_waits_in_the_queue(server):
    asked = asyncio.create_task(server.answer(HELLO))
    request = await server.worker.next_request()
    assert cancel(server).stage is Stage.WAITING
    assert (await asked)[0] == 499
    await asyncio.wait_for(request.aborted.wait(), PATIENCE)


async def test_one_whose_model_loads(server):
    loading = asyncio.Event()

    async def load(_):
        loading.set()
        await asyncio.Event().wait()

    server.registry.ensure_ready = load
    asked = asyncio.create_task(server.answer(HELLO))
    await asyncio.wait_for(loading.wait(), PATIENCE)
    assert cancel(server).stage is Stage.LOADING
    status, body, _ = await asked
    assert (status, body["error"]["code"]) == (499, "request_cancelled")


async def test_a_stream_ends_with_the_error_as_its_last_event(server):
    server.worker.script = lambda request: (request.started(), request.delta("Hi"))
    async with server.post(HELLO | {"stream": True}) as response:
        await response.content.readuntil(b"Hi")
        assert cancel(server).stage is Stage.RUNNING
        rest = await asyncio.wait_for(response.text(), PATIENCE)
    *_, last = sse_data(rest)
    assert last["error"]["code"] == "request_cancelled"
    [request] = server.worker.submitted
    await asyncio.wait_for(request.aborted.wait(), PATIENCE)


async def test_the_others_go_on(server):
    first, second = (asyncio.create_task(server.answer(HELLO)) for _ in range(2))
    requests = [await server.worker.next_request() for _ in range(2)]
    cancelled, going_on = requests
    server.requests.cancel("tiny", cancelled.generate.id)
    going_on.started()
    going_on.finish("Hi")
    assert {(await asked)[0] for asked in (first, second)} == {499, 200}


async def test_twice_is_once(server):
    asked = asyncio.create_task(server.answer(HELLO))
    await server.worker.next_request()
    live = cancel(server)
    cancel(server)  # its handler had no turn yet
    assert (await asked)[0] == 499
    with pytest.raises(NotFoundError):
        server.requests.cancel("tiny", live.id)


async def test_at_the_moment_its_time_is_over(server):
    """The deadline has struck, and the handler had no turn yet: the operator is not told of a defect."""
    server.set_server(request_timeout=0.05)
    asked = asyncio.create_task(server.answer(HELLO))
    request = await server.worker.next_request()
    [live] = server.requests.of("tiny")
    late = []
    request.stream._abort = lambda _: late.append(server.requests.cancel("tiny", live.id))
    status, body, _ = await asked
    assert late == [live]
    assert (status, body["error"]["code"]) == (499, "request_cancelled")
