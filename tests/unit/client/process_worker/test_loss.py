"""A worker lost under its requests, in every way there is."""

import asyncio
import os
import signal
import time

import pytest

from mlxd.client import connection, socket_worker
from mlxd.errors import QueueFullError, WorkerLostError
from mlxd.wire.events import Delta, Finished, Started
from tests.support import fake_worker
from tests.support.wire_requests import generate
from tests.unit.client.process_worker.rig import PATIENCE, ended, is_gone, read, read_until_lost, ready_worker


@pytest.mark.parametrize(
    ("verb", "detail"),
    [
        ("crash", "killed by SIGKILL"),
        ("abort", f"killed by SIGABRT: {fake_worker.NATIVE_MESSAGE}"),
        ("exit", "exited with code 3"),
        ("garbage", "it broke the protocol: cannot decode a frame of 4 bytes"),
        ("oversize", "it broke the protocol: a frame of 4294967295 bytes exceeds"),
    ],
)
async def test_a_crash_fails_its_streams_with_what_came_before(verb, detail):
    async with ready_worker() as worker:
        waiting = worker.submit(generate("queue", "waiting"))
        assert await read_until_lost(worker, verb) == [Started, Delta]
        with pytest.raises(WorkerLostError):
            await read(waiting)
        exit_ = await ended(worker)
        assert exit_.reason == "crash"
        assert exit_.detail.startswith(detail)
        assert worker.pid is None
        with pytest.raises(WorkerLostError):
            await read(worker.submit(generate("too late")))


async def test_killed_from_outside_in_the_middle_of_a_stream():
    async with ready_worker() as worker:
        with worker.submit(generate("hold a b")) as stream:
            await anext(stream)
            os.kill(worker.pid, signal.SIGKILL)
            with pytest.raises(WorkerLostError, match="try again"):
                await asyncio.wait_for(anext(stream), PATIENCE)
        assert (await ended(worker)).detail == "killed by SIGKILL"


async def test_a_worker_that_closes_its_socket_and_stays_is_killed(monkeypatch):
    monkeypatch.setattr(socket_worker, "STOP_GRACE", 0.2)
    async with ready_worker() as worker:
        pid = worker.pid
        assert await read_until_lost(worker, "close") == [Started, Delta]
        await asyncio.wait_for(worker.wait_lost(), PATIENCE)
        with pytest.raises(WorkerLostError):  # while the process is still there
            await read(worker.submit(generate("too late")))
        assert (await ended(worker)).detail == "it closed its socket and went on, so it was killed"
        assert is_gone(pid)


@pytest.mark.parametrize(("verb", "detail"), [("stop", "silent for 1 s"), ("mute", "silent for 1 s"), ("busy", "inside one step for 1")])
async def test_a_hang_is_ended(verb, detail):
    async with ready_worker(hang_timeout=1.0) as worker:
        pid = worker.pid
        assert await read_until_lost(worker, verb) == [Started, Delta]
        exit_ = await ended(worker)
        assert (exit_.reason, exit_.detail[: len(detail)]) == ("hang", detail)
        assert is_gone(pid)


async def test_a_worker_that_does_not_read_is_refused_more_and_then_ended(monkeypatch):
    monkeypatch.setattr(connection, "UNREAD_LIMIT", 3_000_000)
    async with ready_worker(hang_timeout=1.0) as worker:
        deaf = worker.submit(generate("deaf", "deaf"))
        await anext(deaf)
        await anext(deaf)
        big = "x " * 1_000_000  # bytes: more than the kernel's buffers take
        streams = [worker.submit(generate(big, f"big{n}")) for n in range(5)]
        with pytest.raises(QueueFullError, match="behind"):
            await read(streams[-1])
        with pytest.raises(WorkerLostError):
            await asyncio.wait_for(read(deaf), PATIENCE)
        exit_ = await ended(worker)
        assert (exit_.reason, exit_.detail) == ("hang", "did not read its socket for 1 s")


async def test_a_blocked_daemon_does_not_take_its_worker_for_hung():
    """As after a machine's sleep: much time passed, in which nobody here looked."""
    async with ready_worker(hang_timeout=1.0) as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        time.sleep(2)  # noqa: ASYNC251 - on purpose without a turn of the loop
        os.kill(worker.pid, signal.SIGCONT)
        assert isinstance((await read(worker.submit(generate("still here"))))[-1], Finished)
