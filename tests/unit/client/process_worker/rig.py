"""Workers in real processes, without MLX, and what a test wants to know of them."""

import asyncio
from contextlib import asynccontextmanager

import psutil
import pytest

from mlxd.client.process import ProcessWorker
from mlxd.errors import WorkerLostError
from tests.support import fake_worker
from tests.support.patience import PATIENCE
from tests.support.wire_requests import Watcher, generate, load


class Log:
    def __init__(self):
        self.records = []
        self.arrived = asyncio.Event()

    def __call__(self, model, pid, record):
        self.records.append((model, pid, record))
        self.arrived.set()

    def lines(self):
        return [record.fields["line"] for _, _, record in self.records if record.event == "worker_stderr"]

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.arrived.clear()
                await self.arrived.wait()


def make(*, hang_timeout=30.0, load_timeout=30.0, log=None, command=fake_worker.COMMAND):
    return ProcessWorker("tiny", "fake/ok", hang_timeout=hang_timeout, load_timeout=load_timeout, log=log or Log(), command=command)


@asynccontextmanager
async def ready_worker(source="fake/ok", **kwargs):
    worker = make(**kwargs)
    try:
        await worker.start(load(source), Watcher())
        yield worker
    finally:
        await worker.stop()


async def ended(worker):
    return await asyncio.wait_for(worker.wait_exit(), PATIENCE)


async def read(stream):
    return [event async for event in stream]


async def read_into(got, stream):
    async for event in stream:
        got.append(event)


async def read_until_lost(worker, text):
    """The events before the loss."""
    with worker.submit(generate(text)) as stream:
        got = []
        with pytest.raises(WorkerLostError) as caught:
            await asyncio.wait_for(read_into(got, stream), PATIENCE)
    assert caught.value.retry_after > 0
    return [type(event) for event in got]


def is_gone(pid):
    """Not running, and no zombie of ours."""
    return not psutil.pid_exists(pid)


def wait_gone(pid):
    """Of a process that is not our child: ended, reaped or not."""
    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            process.wait(timeout=PATIENCE)
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired:
        assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # nobody reaps orphans in a bare container
