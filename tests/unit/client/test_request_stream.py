import asyncio

import pytest

from mlxd.client import worker_client
from mlxd.client.stream_table import StreamTable
from mlxd.errors import QueueFullError, SlowClientError, WorkerLostError
from mlxd.types import CacheOutcome, FinishReason, Timings, Usage
from mlxd.wire.error_info import ErrorInfo
from mlxd.wire.events import Delta, Failed, Finished, Started
from mlxd.wire.parts import text_parts


def started(request_id="a"):
    return Started(id=request_id, prompt_tokens=1, cached_tokens=0, cache=CacheOutcome.MISS)


def delta(text, request_id="a"):
    return Delta(id=request_id, parts=text_parts(text), tokens=1)


def finished(request_id="a"):
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    return Finished(id=request_id, parts=[], tokens=0, reason=FinishReason.STOP, usage=usage, timings=Timings(queue=0, prefill=0, decode=0))


@pytest.fixture
def aborted():
    return []


@pytest.fixture
def table(aborted):
    return StreamTable(aborted.append)


async def test_events_come_in_order_and_end_with_finished(table, aborted):
    with table.open("a") as stream:
        sent = [started(), delta("x"), delta("y"), finished()]
        for event in sent:
            table.push(event)
        assert [event async for event in stream] == sent
        assert [event async for event in stream] == []  # it stays ended
    assert aborted == []


async def test_each_stream_gets_its_own(table):
    a, b = table.open("a"), table.open("b")
    for event in (delta("1", "b"), delta("2", "a"), delta("3", "nobody"), finished("a"), finished("b")):
        table.push(event)
    assert [event.text async for event in a] == ["2", ""]
    assert [event.text async for event in b] == ["1", ""]


async def test_failed_raises_its_typed_error_after_what_came_before(table, aborted):
    with table.open("a") as stream:
        table.push(delta("x"))
        table.push(Failed(id="a", error=ErrorInfo(code="queue_full", message="full", retry_after=7.0)))
        assert (await anext(stream)).text == "x"
        with pytest.raises(QueueFullError, match="full") as caught:
            await anext(stream)
        assert caught.value.retry_after == 7.0
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    assert aborted == []


async def test_leaving_before_the_end_aborts_once(table, aborted):
    with table.open("a") as stream:
        table.push(started())
        stream.cancel()
    assert aborted == ["a"]
    assert (table.running, table.waiting) == (0, 0)


async def test_an_exception_in_the_block_aborts(table, aborted):
    with pytest.raises(ZeroDivisionError), table.open("a"):
        1 / 0  # noqa: B018
    assert aborted == ["a"]


async def test_cancel_wakes_a_waiting_consumer(table):
    stream = table.open("a")
    waiting = asyncio.create_task(anext(stream, None))
    await asyncio.sleep(0)
    stream.cancel()
    assert await asyncio.wait_for(waiting, 5) is None


async def test_events_after_an_abort_are_dropped(table):
    stream = table.open("a")
    stream.cancel()
    table.push(delta("late"))
    assert [event async for event in stream] == []


async def test_a_consumer_that_falls_behind_is_cut_off(table, aborted, monkeypatch):
    monkeypatch.setattr(worker_client, "STREAM_EVENTS", 3)
    overflowed = []
    with table.open("a") as stream:
        stream.on_overflow = lambda: overflowed.append(stream.id)
        for text in "1234567":
            table.push(delta(text))
        assert [(await anext(stream)).text for _ in range(3)] == ["1", "2", "3"]
        with pytest.raises(SlowClientError):
            await anext(stream)
    assert aborted == ["a"]
    assert overflowed == ["a"]


async def test_the_end_never_overflows(table, aborted, monkeypatch):
    monkeypatch.setattr(worker_client, "STREAM_EVENTS", 2)
    stream = table.open("a")
    for event in (delta("1"), delta("2"), finished()):
        table.push(event)
    assert len([event async for event in stream]) == 3
    assert aborted == []


async def test_counts_and_idleness(table):
    await asyncio.wait_for(table.wait_idle(), 5)
    table.open("a")
    table.open("b")
    idle = asyncio.create_task(table.wait_idle())
    table.push(started("a"))
    assert (table.running, table.waiting) == (1, 1)
    table.push(finished("a"))
    await asyncio.sleep(0)
    assert (table.running, table.waiting) == (0, 1)
    assert not idle.done()
    table.fail_all(lambda: WorkerLostError("gone"))
    await asyncio.wait_for(idle, 5)


async def test_each_lost_stream_gets_an_error_of_its_own(table, aborted):
    streams = [table.open(name) for name in "abc"]
    table.fail_all(lambda: WorkerLostError("gone", retry_after=2.0))
    errors = []
    for stream in streams:
        with stream, pytest.raises(WorkerLostError) as caught:
            await anext(stream)
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 3
    assert aborted == []


async def test_a_listener_hears_once_of_each_event_that_can_be_taken_before_and_after_it_came(table):
    heard = []
    with table.open("a") as stream:
        table.push(started())
        table.push(delta("x"))
        stream.listen(lambda: heard.append(1))
        assert len(heard) == 2
        table.push(finished())
        table.push(delta("late"))
        stream.fail(WorkerLostError("gone"))
        assert len(heard) == 3
        assert len([event async for event in stream]) == 3
