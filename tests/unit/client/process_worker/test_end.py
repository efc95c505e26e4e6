"""How a worker is stopped, and that its process and what it spawned are gone."""

import asyncio
import os
import signal
import sys
import tempfile
import textwrap

import psutil
import pytest

from mlxd.client import socket_worker
from mlxd.errors import ShuttingDownError, WorkerLostError
from tests.support import fake_worker
from tests.support.wire_requests import Watcher, generate, load
from tests.unit.client.process_worker.rig import PATIENCE, Log, ended, is_gone, make, read, ready_worker, wait_gone

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


async def test_the_process_leads_a_group_in_our_session_and_inherits_no_sockets():
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with listener, ready_worker() as worker:
        assert os.getpgid(worker.pid) == worker.pid
        assert os.getsid(worker.pid) == os.getsid(0)
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


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_no_directory_is_left_of_a_worker_that_was_ended_while_it_had_one(tmp_path, monkeypatch, number):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    script = tmp_path / "loading.py"
    script.write_text(
        textwrap.dedent(f"""
            import os
            from mlxd.scratch import scratch_directory
            with scratch_directory("model") as made:
                (made / "config.json").write_text("{{}}")
                print(made, flush=True)
                os.kill(os.getpid(), {number})
        """)
    )
    log = Log()
    worker = make(log=log, command=(sys.executable, str(script)))
    with pytest.raises(WorkerLostError, match="killed by"):
        await worker.start(load(), Watcher())
    assert log.lines()[0].startswith(f"{tmp_path}/mlxd-worker-")
    assert list(tmp_path.iterdir()) == [script]


async def test_a_daemon_killed_hard_leaves_no_worker(tmp_path):
    script = tmp_path / "daemon.py"
    script.write_text(
        textwrap.dedent("""
            import asyncio
            from mlxd.client.process import ProcessWorker
            from tests.support import fake_worker
            from tests.support.wire_requests import Watcher, load

            async def main():
                worker = ProcessWorker("tiny", "fake/ok", hang_timeout=30, load_timeout=30, log=print, command=fake_worker.COMMAND)
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
