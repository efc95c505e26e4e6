"""A stream whose model is loaded for it: comments until it is ready, and what goes wrong after the first one is an event."""

import asyncio

import pytest

from mlxd.errors import InsufficientMemoryError
from tests.support.held_registry import HeldRegistry
from tests.unit.api.conftest import HELLO, sse_data

STREAM = HELLO | {"stream": True}
COMMENT = b": keep-alive\n\n"


@pytest.fixture
def loading(server):
    server.set_server(sse_keepalive=0.02)
    return HeldRegistry(server.registry)


async def test_comments_come_while_the_model_loads(server, loading):
    async with server.post(STREAM) as response:
        assert response.status == 200
        for _ in range(3):
            assert await response.content.readuntil(b"\n\n") == COMMENT
        loading.may_go_on.set()
        request = await server.worker.next_request()
        request.started()
        request.finish("done", 1)
        events = sse_data((await response.text()).replace(COMMENT.decode(), ""))
    assert events[-1] == "[DONE]"
    assert events[0]["choices"][0]["delta"]["content"] == "done"


async def test_a_model_that_cannot_load_is_an_event_then_and_the_connection_goes_on(server, loading):
    server.model.error = InsufficientMemoryError("no room", retry_after=5)
    async with server.post(STREAM) as response:
        assert await response.content.readuntil(b"\n\n") == COMMENT
        loading.may_go_on.set()
        [event] = sse_data((await response.text()).replace(COMMENT.decode(), ""))
    assert event["error"]["code"] == "insufficient_memory"
    assert server.telemetry.rejections == [("tiny", "insufficient_memory")]


async def test_before_the_first_comment_it_is_a_status(server):
    server.model.error = InsufficientMemoryError("no room", retry_after=5)
    status, _, headers = await server.answer(STREAM)
    assert (status, headers["Retry-After"]) == (503, "5")


async def test_an_answer_that_does_not_stream_waits_in_silence(server, loading):
    asked = asyncio.ensure_future(server.answer(HELLO))
    await asyncio.wait_for(loading.asked.wait(), 10)
    loading.may_go_on.set()
    request = await server.worker.next_request()
    request.started()
    request.finish("done", 1)
    assert (await asked)[0] == 200


async def test_a_client_that_leaves_waits_for_no_model(server, loading):
    async with server.raw() as (reader, writer):
        writer.write(server.raw_post(STREAM))
        await reader.readuntil(COMMENT)
        writer.transport.abort()
    await asyncio.wait_for(loading.given_up.wait(), 10)
    assert (await server.telemetry.next_record()).outcome == "aborted"


async def test_a_stream_that_failed_leaves_its_connection_for_the_next_request(server):
    async with server.raw() as (reader, writer):
        writer.write(server.raw_post(STREAM))
        request = await server.worker.next_request()
        request.started()
        request.delta("some")
        request.fail(InsufficientMemoryError("gone"))
        assert b"insufficient_memory" in await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.write(server.raw_post(HELLO))
        request = await server.worker.next_request()
        request.started()
        request.finish("fine", 1)
        assert b"200 OK" in await reader.readline()
