"""Loads that fail, hang, or are cancelled, leave no process."""

import asyncio
import re
import sys

import pytest

from mlxd import __version__
from mlxd.errors import MlxdError, ModelSourceError, ShuttingDownError, VersionMismatchError, WorkerLostError
from mlxd.wire.messages import Progress
from tests.support import fake_worker
from tests.support.wire_requests import Watcher, generate, load
from tests.unit.client.process_worker.rig import PATIENCE, ended, is_gone, make, read, ready_worker


@pytest.mark.parametrize(
    ("source", "error", "reason", "words"),
    [
        ("fake/damaged", ModelSourceError, "load_failed", "model.safetensors is truncated"),
        ("fake/oom", MlxdError, "load_failed", "out of memory"),
        ("fake/crash", WorkerLostError, "crash", "killed by SIGKILL"),
        ("fake/abort", WorkerLostError, "crash", f"killed by SIGABRT: {fake_worker.NATIVE_MESSAGE}"),
        ("fake/exit", WorkerLostError, "crash", "exited with code 3"),
        ("fake/garbage", WorkerLostError, "crash", "it broke the protocol: cannot decode a frame"),
    ],
)
async def test_a_load_that_fails_leaves_nothing(source, error, reason, words):
    worker = make()
    with pytest.raises(error, match=re.escape(words)):
        await worker.start(load(source), Watcher())
    assert worker.pid is None
    exit_ = await ended(worker)
    assert (exit_.reason, exit_.detail[: len(words)]) == (reason, words)
    with pytest.raises((WorkerLostError, ShuttingDownError)):
        await read(worker.submit(generate("a")))


@pytest.mark.parametrize(
    ("command", "error", "words"),
    [
        (fake_worker.OLD_COMMAND, VersionMismatchError, f"the worker is mlxd 0.0.1 but the daemon is {__version__}"),
        (fake_worker.RUDE_COMMAND, WorkerLostError, "Heartbeat came before Hello"),
        (fake_worker.DEAD_COMMAND, WorkerLostError, "exited with code 1: RuntimeError: no such device"),
        (("/nonexistent/python",), WorkerLostError, "cannot be started: .*No such file"),
        ((sys.executable, "-c", "pass"), WorkerLostError, "exited with code 0"),
    ],
)
async def test_a_process_that_is_no_worker_of_ours(command, error, words):
    worker = make(command=command)
    with pytest.raises(error, match=words):
        await asyncio.wait_for(worker.start(load(), Watcher()), PATIENCE)
    assert (await ended(worker)).reason == ("load_failed" if error is VersionMismatchError else "crash")


@pytest.mark.parametrize(("command", "stage"), [(fake_worker.COMMAND, "fetching"), (fake_worker.SILENT_COMMAND, "starting")])
async def test_a_load_without_progress_is_ended(command, stage):
    worker = make(load_timeout=0.5, command=command)
    with pytest.raises(WorkerLostError, match=rf"no progress for 0\.5 s while (starting|{stage})"):
        await asyncio.wait_for(worker.start(load("fake/stuck"), Watcher()), PATIENCE)
    assert (await ended(worker)).reason == "hang"
    assert worker.pid is None


async def test_cancelling_a_start_ends_the_process():
    seen = asyncio.Event()
    worker = make()

    def on_progress(_: Progress):
        seen.set()

    starting = asyncio.create_task(worker.start(load("fake/slow"), Watcher(progress=on_progress)))
    await asyncio.wait_for(seen.wait(), PATIENCE)
    pid = worker.pid
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert (await ended(worker)).reason == "stopped"
    assert is_gone(pid)


async def test_cancelling_a_start_that_has_hardly_begun():
    worker = make()
    starting = asyncio.create_task(worker.start(load(), Watcher()))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert (await ended(worker)).reason == "stopped"


async def test_a_client_is_started_once():
    async with ready_worker() as worker:
        with pytest.raises(RuntimeError, match="once"):
            await worker.start(load(), Watcher())
