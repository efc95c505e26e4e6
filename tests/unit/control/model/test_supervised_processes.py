"""The supervisor over real processes, without MLX."""

import asyncio
import os
import signal

import psutil
import pytest

from mlxd.client.process import ProcessWorker
from mlxd.errors import WorkerLostError
from mlxd.types import ModelState
from mlxd.wire.events import Finished, Started
from tests.support import fake_worker
from tests.support.forked import fork_workers
from tests.support.patience import PATIENCE
from tests.support.scripted_client import reach
from tests.support.wire_requests import generate

QUICK = {"restart_backoff": "1ms", "restart_backoff_max": "5ms", "heartbeat_interval": "50ms"}


@pytest.fixture(autouse=True)
def _forked(monkeypatch):
    """How a worker begins is others' business: tests/unit/client/process_worker."""
    fork_workers(monkeypatch)


def make_worker(name, config):
    watch = config.worker
    return ProcessWorker(
        name,
        config.source,
        hang_timeout=watch.hang_timeout,
        load_timeout=watch.load_timeout,
        log=lambda *_: None,
        command=fake_worker.COMMAND,
    )


@pytest.fixture
def start(make):
    def start(source="fake/ok", **worker):
        supervisor = make(source=source, worker=QUICK | worker, worker_factory=make_worker)
        supervisor.want()
        return supervisor

    return start


async def answer(supervisor, text):
    client = supervisor.require_ready().client
    with client.submit(generate(text)) as stream:
        return [event async for event in stream]


async def test_kill_9_in_the_middle_of_a_stream(start, telemetry):
    supervisor = start()
    await reach(supervisor, ModelState.READY)
    client = supervisor.require_ready().client
    first = client.pid
    with client.submit(generate("hold a b c")) as stream:
        assert isinstance(await anext(stream), Started)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(WorkerLostError):
            await asyncio.wait_for(anext(stream), PATIENCE)
    await reach(supervisor, ModelState.LOADING)
    await reach(supervisor, ModelState.READY)
    assert isinstance((await answer(supervisor, "back again"))[-1], Finished)
    assert supervisor.status().pid != first
    assert not psutil.pid_exists(first)
    assert telemetry.restarted == [("tiny", "crash")]


async def test_a_hang_is_restarted(start, telemetry):
    supervisor = start(hang_timeout="3s")
    await reach(supervisor, ModelState.READY)
    with pytest.raises(WorkerLostError):
        await asyncio.wait_for(answer(supervisor, "stop"), PATIENCE)
    await reach(supervisor, ModelState.LOADING)
    await reach(supervisor, ModelState.READY)
    assert telemetry.restarted == [("tiny", "hang")]
    assert supervisor.status().last_error == "silent for 3 s"


async def test_it_gets_there_after_some_crashes(start, tmp_path, telemetry):
    supervisor = start(str(tmp_path / "crash-3-times"))
    await reach(supervisor, ModelState.READY)
    assert supervisor.status().restarts == 3
    assert telemetry.restarted == [("tiny", "load_failed")] * 3


async def test_ten_crashes_are_enough(start, tmp_path):
    supervisor = start(str(tmp_path / "crash-1000-times"), crash_limit=10)
    await reach(supervisor, ModelState.FAILED)
    assert (tmp_path / "crash-1000-times.starts").stat().st_size == 10
    assert supervisor.status().restart_in is not None
    assert "10 crashes within 600 s" in supervisor.status().last_error
    assert "killed by SIGKILL" in supervisor.status().last_error
    assert supervisor.status().pid is None


async def test_the_message_of_a_native_abort_reaches_the_status(start):
    supervisor = start("fake/abort", crash_limit=1)
    await reach(supervisor, ModelState.FAILED)
    assert fake_worker.NATIVE_MESSAGE in supervisor.status().last_error


async def test_a_damaged_model_fails_at_once(start, tmp_path):
    supervisor = start(str(tmp_path / "damaged-9-times"))
    await reach(supervisor, ModelState.FAILED)
    assert (tmp_path / "damaged-9-times.starts").stat().st_size == 1
    assert supervisor.status().last_error == "model.safetensors is truncated: fetch it again"


async def test_stop_leaves_no_process(start):
    supervisor = start()
    await reach(supervisor, ModelState.READY)
    pid = supervisor.status().pid
    await asyncio.wait_for(supervisor.stop(), PATIENCE)
    assert not psutil.pid_exists(pid)
