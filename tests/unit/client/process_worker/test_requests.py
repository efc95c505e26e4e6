"""Requests of a worker in a process of its own, and what it says beside."""

import asyncio
import os
import signal

import psutil
import pytest

from mlxd.errors import InvalidRequestError, MlxdError, QueueFullError
from mlxd.wire.events import Finished, Started
from tests.support.forked import fork_workers
from tests.support.wire_requests import Watcher, generate, load
from tests.unit.client.process_worker.rig import PATIENCE, Log, ended, is_gone, make, read, ready_worker


@pytest.fixture(autouse=True)
def _forked(monkeypatch):
    """How a worker begins is others' business: process_worker/test_loading.py, test_loss.py and test_end.py."""
    fork_workers(monkeypatch)


async def test_a_request_from_start_to_stop():
    progress, steps = [], []
    worker = make()
    ready = await worker.start(load(), Watcher(progress=progress.append, step=steps.append))
    assert ready.runner == "simple"
    assert [one.stage for one in progress] == ["fetching", "loading"]
    pid = worker.pid
    assert psutil.pid_exists(pid)
    with worker.submit(generate("one two three", max_tokens=2)) as stream:
        first, *deltas, last = await read(stream)
    assert isinstance(first, Started)
    assert [delta.text for delta in deltas] == ["one ", "two "]
    assert last.usage.completion_tokens == 2
    assert len(steps) == 2
    await worker.stop()
    assert (await ended(worker)).reason == "stopped"
    assert worker.pid is None
    assert is_gone(pid)


async def test_two_hundred_streams_at_once():
    async with ready_worker() as worker:
        streams = [worker.submit(generate(f"a{n} b{n} c{n}", f"r{n}")) for n in range(200)]
        assert worker.running + worker.waiting == 200
        async with asyncio.timeout(PATIENCE):
            answers = await asyncio.gather(*(read(stream) for stream in streams))
        assert ["".join(event.text for event in answer[1:]) for answer in answers] == [f"a{n} b{n} c{n} " for n in range(200)]
        await asyncio.wait_for(worker.wait_idle(), PATIENCE)
        assert (worker.running, worker.waiting) == (0, 0)


async def test_leaving_a_stream_aborts_it_in_the_worker():
    async with ready_worker() as worker:
        with worker.submit(generate("hold a b")) as stream:
            assert isinstance(await anext(stream), Started)
            assert (worker.running, worker.waiting) == (1, 0)
        assert (worker.running, worker.waiting) == (0, 0)
        while worker.heartbeat is None or worker.heartbeat.running:  # the worker itself says that it runs nothing
            await read(worker.submit(generate("a", "again")))
        assert worker.heartbeat.waiting == 0


async def test_a_stalled_consumer_is_cut_off_and_others_go_on():
    async with ready_worker() as worker:
        with worker.submit(generate("flood 20000", "slow")) as slow:
            overflowed = asyncio.Event()
            slow.on_overflow = overflowed.set
            await asyncio.wait_for(overflowed.wait(), PATIENCE)
            assert isinstance((await read(worker.submit(generate("still here", "other"))))[-1], Finished)
            with pytest.raises(MlxdError, match="stopped reading"):
                await read(slow)


async def test_refusals_are_typed():
    async with ready_worker() as worker:
        with pytest.raises(QueueFullError) as caught:
            await read(worker.submit(generate("full")))
        assert caught.value.retry_after == 7.0
        with pytest.raises(MlxdError, match="a fault of this row"):
            await read(worker.submit(generate("fail")))
        assert isinstance((await read(worker.submit(generate("fine"))))[-1], Finished)


async def test_what_cannot_be_sent_is_refused_and_harms_nobody():
    async with ready_worker() as worker:
        with worker.submit(generate("hold a", "same")) as held:
            with pytest.raises(InvalidRequestError, match="running already"):
                await read(worker.submit(generate("b", "same")))
            with pytest.raises(InvalidRequestError, match="cannot be encoded"):
                await read(worker.submit(generate("lone \ud800 surrogate", "bad")))
            os.kill(worker.pid, signal.SIGUSR1)
            assert isinstance((await read(held))[-1], Finished)


# ---- what a worker says beside ----


async def test_stderr_and_records_are_forwarded():
    log = Log()
    async with ready_worker(log=log) as worker:
        pid = worker.pid
        await read(worker.submit(generate("log a b", "r1")))
        await read(worker.submit(generate("stderr 3", "r2")))
        await log.until(lambda: len(log.lines()) == 3)
    assert log.lines() == ["noise 0", "noise 1", "noise 2"]
    model, from_pid, record = log.records[0]
    assert (model, from_pid, record.event, record.fields) == ("tiny", pid, "prompt_seen", {"words": 2})
