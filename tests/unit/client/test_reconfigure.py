"""A running worker is given other limits, and says what it has then; however that ends, nobody waits for ever."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from mlxd.client.process import ProcessWorker
from mlxd.errors import ModelLoadingError, WorkerLostError
from mlxd.types import Limits
from mlxd.wire.events import Finished
from tests.support import fake_worker
from tests.support.forked import fork_workers
from tests.support.patience import PATIENCE
from tests.support.wire_requests import Watcher, generate, load, resolved

DIES = Limits(max_queue=13)
NEVER_ANSWERS = Limits(max_queue=14)


@pytest.fixture(autouse=True)
def _forked(monkeypatch):
    """How a worker begins is others' business: process_worker/test_loading.py, test_loss.py and test_end.py."""
    fork_workers(monkeypatch)


def make(*, hang_timeout=30.0):
    return ProcessWorker("tiny", "fake/ok", hang_timeout=hang_timeout, load_timeout=30.0, log=lambda *_: None, command=fake_worker.COMMAND)


@asynccontextmanager
async def ready_worker(**kwargs):
    worker = make(**kwargs)
    try:
        await worker.start(load(), Watcher())
        yield worker
    finally:
        await worker.stop()


async def reconfigure(worker, limits):
    return await asyncio.wait_for(worker.reconfigure(limits), PATIENCE)


async def answers(worker):
    with worker.submit(generate("still here")) as stream:
        return isinstance([event async for event in stream][-1], Finished)


async def test_what_it_says_it_has_is_what_it_has():
    async with ready_worker() as worker:
        assert worker.limits == resolved(load().limits)
        wanted = Limits(max_queue=5, max_sequences=2, target_itl=0.5, cache_bytes=1000)
        assert await reconfigure(worker, wanted) == resolved(wanted)
        assert worker.limits == resolved(wanted)


async def test_until_it_has_answered_it_has_what_it_had():
    async with ready_worker() as worker:
        asked = asyncio.ensure_future(worker.reconfigure(NEVER_ANSWERS))
        assert await answers(worker)  # which it read after it
        assert worker.limits == resolved(load().limits)
        asked.cancel()


async def test_several_at_once_are_answered_each_with_its_own():
    async with ready_worker() as worker:
        wanted = [Limits(max_queue=number) for number in (20, 30, 40)]
        assert await asyncio.wait_for(asyncio.gather(*map(worker.reconfigure, wanted)), PATIENCE) == list(map(resolved, wanted))
        assert worker.limits == resolved(wanted[-1])


async def test_requests_under_way_do_not_notice():
    async with ready_worker() as worker:
        with worker.submit(generate("one two three")) as stream:
            await reconfigure(worker, Limits(max_queue=5))
            assert isinstance([event async for event in stream][-1], Finished)


async def test_who_leaves_does_not_take_another_s_answer():
    async with ready_worker() as worker:
        leaving = asyncio.ensure_future(worker.reconfigure(Limits(max_queue=20)))
        await asyncio.sleep(0)  # it has asked
        leaving.cancel()
        assert (await reconfigure(worker, Limits(max_queue=30))).max_queue == 30
        assert leaving.cancelled()
        assert (await asyncio.wait_for(worker.evict_cache(), PATIENCE)).entries == 0


async def test_a_worker_that_dies_before_it_answers():
    async with ready_worker() as worker:
        with pytest.raises(WorkerLostError):
            await reconfigure(worker, DIES)
        assert (await asyncio.wait_for(worker.wait_exit(), PATIENCE)).detail.startswith("exited with code 3")
        with pytest.raises(WorkerLostError):
            await reconfigure(worker, Limits())


async def test_a_worker_that_is_lost_answers_every_question_with_that():
    async with ready_worker() as worker:
        asked = [asyncio.ensure_future(worker.reconfigure(limits)) for limits in (NEVER_ANSWERS, NEVER_ANSWERS, DIES)]
        outcomes = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), PATIENCE)
        assert [type(outcome) for outcome in outcomes] == [WorkerLostError] * 3


async def test_a_worker_that_lives_and_never_answers_is_hung():
    """Its heart beats, and it serves; but what it has nobody knows, and whoever reloads would wait for ever."""
    async with ready_worker(hang_timeout=0.5) as worker:
        with pytest.raises(WorkerLostError):
            await reconfigure(worker, NEVER_ANSWERS)
        assert (await asyncio.wait_for(worker.wait_exit(), PATIENCE)).reason == "hang"


async def test_a_stop_meanwhile():
    async with ready_worker() as worker:
        asked = asyncio.ensure_future(worker.reconfigure(NEVER_ANSWERS))
        await asyncio.sleep(0)
        await asyncio.wait_for(worker.stop(), PATIENCE)
        with pytest.raises(WorkerLostError):
            await asked
        with pytest.raises(WorkerLostError):
            await reconfigure(worker, Limits())


async def test_before_it_is_ready_there_is_nothing_to_change():
    worker = make()
    with pytest.raises(WorkerLostError):
        await reconfigure(worker, Limits())
    loading = asyncio.Event()
    starting = asyncio.create_task(worker.start(load("fake/slow"), Watcher(progress=lambda _: loading.set())))
    await asyncio.wait_for(loading.wait(), PATIENCE)
    with pytest.raises(ModelLoadingError):
        await reconfigure(worker, Limits())
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
