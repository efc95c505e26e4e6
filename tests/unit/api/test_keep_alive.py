"""Comments on a stream that has nothing to say, and what its headers can still tell."""

import asyncio

import pytest

from mlxd.api.sse import with_ticks
from mlxd.errors import QueueFullError
from mlxd.types import CacheOutcome
from tests.unit.api.conftest import HELLO, sse_data

STREAM = HELLO | {"stream": True}


async def test_a_stream_that_waits_in_the_queue_gets_comments_and_goes_without_the_cache_header(server):
    server.set_server(sse_keepalive=0.02)
    async with server.post(STREAM) as response:
        assert response.status == 200  # the headers are here, and the worker has not started
        assert "x-mlxd-cache" not in response.headers
        for _ in range(3):
            assert await response.content.readuntil(b"\n\n") == b": keep-alive\n\n"
        request = await server.worker.next_request()
        request.started()
        request.finish("done", 1)
        events = sse_data((await response.text()).replace(": keep-alive\n\n", ""))
    assert events[0]["choices"][0]["delta"]["content"] == "done"
    assert events[-1] == "[DONE]"


async def test_comments_during_a_long_prefill(server):
    server.set_server(sse_keepalive=0.05)
    server.worker.script = lambda request: request.started(cache=CacheOutcome.HIT)
    async with server.post(STREAM) as response:
        assert response.headers["x-mlxd-cache"] == "hit"
        request = await server.worker.next_request()
        assert await response.content.readuntil(b"\n\n") == b": keep-alive\n\n"
        request.delta("", 1)  # undecided text is silence too
        assert await response.content.readuntil(b"\n\n") == b": keep-alive\n\n"
        request.finish()
        assert (await response.text()).endswith("data: [DONE]\n\n")


async def test_an_error_after_the_first_comment_is_an_event(server):
    server.set_server(sse_keepalive=0.02)
    async with server.post(STREAM) as response:
        assert response.status == 200
        request = await server.worker.next_request()
        request.fail(QueueFullError("full"))
        *_, last = sse_data((await response.text()).replace(": keep-alive\n\n", ""))
    assert last["error"]["code"] == "queue_full"
    assert server.telemetry.rejections == [("tiny", "queue_full")]


async def numbers(*items):
    for item in items:
        yield item
        await asyncio.sleep(0)


async def test_ticks_lose_no_item():
    gate = asyncio.Event()

    async def slow():
        yield 1
        await gate.wait()
        yield 2

    seen = []
    async for item in with_ticks(slow(), lambda: 0.001):
        seen.append(item)
        if seen.count(None) == 3:
            gate.set()
    assert [item for item in seen if item is not None] == [1, 2]
    assert seen.count(None) >= 3


async def test_ticks_pass_errors_on():
    async def broken():
        yield 1
        raise QueueFullError("full")

    events = with_ticks(broken(), lambda: 10)
    assert await anext(events) == 1
    with pytest.raises(QueueFullError):
        await anext(events)


async def test_ticks_left_early_leave_no_task_behind():
    before = asyncio.all_tasks()
    events = with_ticks(numbers(1, 2, 3), lambda: 10)
    assert await anext(events) == 1
    await events.aclose()
    assert asyncio.all_tasks() == before
