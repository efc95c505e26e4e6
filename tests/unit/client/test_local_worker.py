import asyncio

import pytest

from mlxd.client import socket_worker
from mlxd.client.local import LocalWorker
from mlxd.errors import ShuttingDownError, WorkerLostError
from mlxd.wire.events import Finished
from tests.support import fake_worker
from tests.support.wire_requests import Watcher, generate, load


async def test_a_thread_serves_like_a_process():
    worker = LocalWorker(fake_worker.run)
    ready = await worker.start(load(), Watcher())
    assert ready.device == "cpu"
    with worker.submit(generate("one two")) as stream:
        events = [event async for event in stream]
    assert "".join(event.text for event in events[1:]) == "one two "
    assert isinstance(events[-1], Finished)
    await worker.stop()
    exit_ = await worker.wait_exit()
    assert (exit_.reason, exit_.detail) == ("stopped", "returned")
    assert worker.pid is None


async def test_a_thread_that_raises_is_a_crash():
    def run(sock):
        raise OSError("no such device")

    worker = LocalWorker(run)
    with pytest.raises(WorkerLostError, match="no such device"):
        await worker.start(load(), Watcher())
    assert (await worker.wait_exit()).reason == "crash"


async def test_a_callback_that_raises_loses_the_worker_and_says_so(capsys):
    def on_step(_):
        raise KeyError("a defect of ours")

    worker = LocalWorker(fake_worker.run)
    await worker.start(load(), Watcher(step=on_step))
    with pytest.raises(WorkerLostError):
        async for _ in worker.submit(generate("one")):
            pass
    assert "a defect of ours" in (await worker.wait_exit()).detail


async def test_running_requests_hear_of_the_stop(monkeypatch):
    monkeypatch.setattr(socket_worker, "STOP_GRACE", 5.0)
    worker = LocalWorker(fake_worker.run)
    await worker.start(load(), Watcher())
    stream = worker.submit(generate("queue"))
    stopping = asyncio.create_task(worker.stop())
    with pytest.raises(ShuttingDownError):
        await anext(stream)
    await stopping


async def test_a_load_that_waits_for_its_turn_to_have_memory_does_not_hang():
    """However long that takes: it is the daemon that lets it wait."""

    class Patient(Watcher):
        async def on_need(self, needs):
            await asyncio.sleep(1.5)
            worker.watch(hang_timeout=30.0, load_timeout=30.0)

    worker = LocalWorker(fake_worker.run)
    worker.watch(hang_timeout=30.0, load_timeout=1.0)
    assert (await worker.start(load("fake/needs-100"), Patient())).device == "cpu"
    await worker.stop()
