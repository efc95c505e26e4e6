"""Real processes, without MLX: how a worker starts, is lost in every way there is, and ends."""

import asyncio
import os
import re
import signal
import sys
import textwrap
from contextlib import asynccontextmanager

import psutil
import pytest

from mlxd import __version__
from mlxd.client import connection, socket_worker
from mlxd.client.process import ProcessWorker
from mlxd.errors import (
    InvalidRequestError,
    MlxdError,
    ModelSourceError,
    QueueFullError,
    ShuttingDownError,
    VersionMismatchError,
    WorkerLostError,
)
from mlxd.wire.messages import Delta, Finished, Progress, Started
from tests.support import fake_worker
from tests.support.wire_requests import Watcher, generate, load

PATIENCE = 30.0  # seconds; only a failing test waits so long


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
    return ProcessWorker("tiny", hang_timeout=hang_timeout, load_timeout=load_timeout, log=log or Log(), command=command)


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


# ---- loading that fails ----


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


# ---- a worker lost under its requests ----


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
        child = await asyncio.create_subprocess_exec("sleep", "2")
        blocked_until = asyncio.get_running_loop().time() + 2.0
        while asyncio.get_running_loop().time() < blocked_until:  # on purpose without a turn of the loop
            pass
        os.kill(worker.pid, signal.SIGCONT)
        await child.wait()
        assert isinstance((await read(worker.submit(generate("still here"))))[-1], Finished)


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


# ---- stopping ----


async def test_stopping_tells_running_requests_and_is_idempotent():
    async with ready_worker() as worker:
        stream = worker.submit(generate("hold a"))
        await anext(stream)
        await asyncio.gather(worker.stop(), worker.stop())
        with pytest.raises(ShuttingDownError):
            await anext(stream)
        with pytest.raises(ShuttingDownError):
            await read(worker.submit(generate("too late")))
        assert (await ended(worker)).reason == "stopped"


async def test_a_worker_that_ignores_stop_is_killed(monkeypatch):
    monkeypatch.setattr(socket_worker, "STOP_GRACE", 0.1)
    monkeypatch.setattr(socket_worker, "TERM_GRACE", 0.1)
    async with ready_worker() as worker:
        pid = worker.pid
        os.kill(pid, signal.SIGSTOP)  # TERM stays pending, KILL does not
        await asyncio.wait_for(worker.stop(), PATIENCE)
        assert (await ended(worker)).reason == "stopped"
        assert is_gone(pid)


async def test_a_caller_that_gives_up_does_not_stop_the_stopping():
    async with ready_worker() as worker:
        pid = worker.pid
        stopping = asyncio.create_task(worker.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        assert (await ended(worker)).reason == "stopped"
        assert is_gone(pid)


async def test_stop_without_start():
    worker = make()
    await worker.stop()
    await asyncio.wait_for(worker.wait_lost(), PATIENCE)
    assert (await ended(worker)).reason == "stopped"
    assert (worker.pid, worker.heartbeat, worker.running, worker.waiting) == (None, None, 0, 0)


# ---- the process ----


async def test_the_process_is_alone_in_its_session_and_inherits_no_sockets():
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with listener, ready_worker() as worker:
        assert os.getsid(worker.pid) == worker.pid
        assert psutil.Process(worker.pid).net_connections(kind="inet") == []


async def test_what_a_dead_worker_had_spawned_is_killed_too(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
            import os, subprocess, sys
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            print("child", child.pid, flush=True)
            os._exit(7)
        """)
    )
    log = Log()
    worker = make(log=log, command=(sys.executable, str(script)))
    with pytest.raises(WorkerLostError, match="exited with code 7"):
        await worker.start(load(), Watcher())
    child = int(log.lines()[0].split()[1])
    await asyncio.to_thread(wait_gone, child)


async def test_a_daemon_killed_hard_leaves_no_worker(tmp_path):
    script = tmp_path / "daemon.py"
    script.write_text(
        textwrap.dedent("""
            import asyncio
            from mlxd.client.process import ProcessWorker
            from tests.support import fake_worker
            from tests.support.wire_requests import Watcher, load

            async def main():
                worker = ProcessWorker("tiny", hang_timeout=30, load_timeout=30, log=print, command=fake_worker.COMMAND)
                await worker.start(load(), Watcher())
                print(worker.pid, flush=True)
                await asyncio.Event().wait()

            asyncio.run(main())
        """)
    )
    root = str(fake_worker.Path(fake_worker.__file__).parents[2])
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": root}
    )
    try:
        pid = int(await asyncio.wait_for(daemon.stdout.readline(), PATIENCE))
    finally:
        daemon.kill()
        await daemon.wait()
    await asyncio.to_thread(wait_gone, pid)


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
