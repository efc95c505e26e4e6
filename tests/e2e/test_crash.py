"""A worker that dies takes its requests with it, with an error, and nothing else."""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.e2e.client import post, send, stream
from tests.e2e.conftest import ENDLESS, TINY
from tests.e2e.daemon_process import DaemonProcess
from tests.support.patience import PATIENCE

QUICK = TINY + '[models.tiny.worker]\nrestart_backoff = "50ms"\nheartbeat_interval = "100ms"\n'


@pytest.fixture(scope="module")
def shared(tmp_path_factory, tiny_model):
    """A daemon that every test leaves with a worker that is ready, though not the same one."""
    directory = tmp_path_factory.mktemp("crash")
    (directory / "model").symlink_to(tiny_model)
    with DaemonProcess(directory, QUICK + "crash_limit = 1000\n") as daemon:
        daemon.wait_ready()
        yield daemon


def crashes(daemon):
    return daemon.metrics().get('mlxd_worker_restarts_total{model="tiny",reason="crash"}', 0)


def test_kill_9_of_the_worker_in_the_middle_of_a_stream(shared):
    daemon = shared
    before, crashed, told = daemon.model()["pid"], crashes(daemon), len(daemon.events())
    with stream(daemon, ENDLESS) as running:
        assert "error" not in json.loads(running.first())
        os.kill(before, signal.SIGKILL)
        events = list(running)  # ends: no hang
    assert json.loads(events[-1])["error"]["code"] == "worker_lost"
    assert daemon.admin("/livez")[0] == 200
    daemon.wait_ready()
    assert daemon.model()["pid"] != before
    assert post(daemon, "/v1/completions", ENDLESS | {"max_tokens": 3})[0] == 200
    assert crashes(daemon) == crashed + 1
    assert "SIGKILL" in daemon.events("worker_crashed")[-1]["detail"]
    seen = [event["event"] for event in daemon.events()[told:]]
    assert [event for event in seen if event in {"model_ready", "worker_crashed", "worker_restarting"}] == [
        "worker_crashed",
        "worker_restarting",
        "model_ready",
    ]


def test_kill_9_under_a_batch_ends_every_request_with_an_error_and_the_next_ones_run(shared):
    daemon, ask = shared, ENDLESS | {"max_tokens": 8}
    expected, killed = post(daemon, "/v1/completions", ask)[2]["choices"], daemon.model()["pid"]

    def doomed(number):
        with stream(daemon, ENDLESS | {"prompt": f"Number {number}"}) as running:
            return [json.loads(event) for event in running][-1]

    with ThreadPoolExecutor(5) as pool:
        running = [pool.submit(doomed, number) for number in range(5)]
        daemon.until(lambda: daemon.model()["requests"]["running"] == 5, "five running")
        os.kill(killed, signal.SIGKILL)
        assert {one.result()["error"]["code"] for one in running} == {"worker_lost"}
    daemon.wait_ready()
    assert daemon.model()["pid"] != killed
    assert daemon.model()["runner"]["name"] == "paged"
    assert post(daemon, "/v1/completions", ask)[2]["choices"] == expected


def test_livez_answers_all_the_while_a_worker_is_killed_and_comes_back(shared):
    daemon = shared
    before = daemon.model()["pid"]
    os.kill(before, signal.SIGKILL)
    slowest = 0.0

    def ready_again():
        nonlocal slowest
        began = time.monotonic()
        assert daemon.admin("/livez")[0] == 200
        slowest = max(slowest, time.monotonic() - began)
        return daemon.model()["pid"] not in {None, before} and daemon.admin("/readyz")[0] == 200

    daemon.until(ready_again, "ready again")
    assert slowest < 15


def test_a_request_without_streaming_gets_503_when_its_worker_dies(shared):
    daemon = shared
    connection = send(daemon, ENDLESS)
    daemon.until(lambda: daemon.model()["requests"]["running"] == 1, "running")
    os.kill(daemon.model()["pid"], signal.SIGKILL)
    answer = connection.getresponse()
    assert answer.status == 503
    assert int(answer.getheader("retry-after")) >= 1
    assert json.loads(answer.read())["error"]["code"] == "worker_lost"
    connection.close()
    daemon.wait_ready()


def test_a_stopped_worker_counts_as_hung_and_is_replaced(start_daemon):
    daemon = start_daemon(QUICK + 'hang_timeout = "1s"\n')
    daemon.wait_ready()
    hung = daemon.model()["pid"]
    with stream(daemon, ENDLESS) as running:
        running.first()
        os.kill(hung, signal.SIGSTOP)
        events = list(running)
    assert json.loads(events[-1])["error"]["code"] == "worker_lost"
    daemon.until(lambda: daemon.model()["pid"] not in {None, hung}, "a new worker")
    daemon.wait_ready()
    assert not psutil.pid_exists(hung)
    assert daemon.metrics()['mlxd_worker_restarts_total{model="tiny",reason="hang"}'] == 1


def test_a_crash_loop_is_failed_with_the_reason_and_tried_again(start_daemon):
    daemon = start_daemon(QUICK + "crash_limit = 2\n")
    for _ in range(2):
        daemon.until(lambda: daemon.model()["pid"], "a worker")
        pid = daemon.model()["pid"]
        os.kill(pid, signal.SIGKILL)
        daemon.until(lambda pid=pid: daemon.model()["pid"] != pid, "its end")
    model = daemon.until(lambda: daemon.model() if daemon.model()["state"] == "failed" else None, "failed")
    assert "SIGKILL" in model["last_error"]
    assert 0 < model["restart_in_seconds"] <= 60
    status, _, body = post(daemon, "/v1/completions", ENDLESS)
    assert (status, body["error"]["code"]) == (503, "model_failed")


def test_a_damaged_model_fails_at_once_and_names_the_file(start_daemon, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    daemon = start_daemon(TINY + f'[models.broken]\nsource = "{tmp_path}/broken"\n')
    model = daemon.until(lambda: daemon.model("broken") if daemon.model("broken")["state"] == "failed" else None, "failed")
    assert "config.json" in model["last_error"]
    daemon.until(lambda: daemon.model("tiny")["state"] == "ready", "the other model")
    status, body = daemon.admin("/readyz")
    assert status == 503
    assert body["models"]["broken"] == "failed"


def test_when_the_daemon_is_killed_its_worker_ends(start_daemon):
    daemon = start_daemon(QUICK)
    daemon.wait_ready()
    worker = psutil.Process(daemon.model()["pid"])
    with stream(daemon, ENDLESS) as running:
        running.first()
        daemon.process.kill()
        daemon.process.wait()
        worker.wait(PATIENCE)
    assert not worker.is_running()
