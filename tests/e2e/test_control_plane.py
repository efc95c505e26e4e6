"""The file is the truth: edits of every kind under load, with everything real but the workers (``tests.support.fake_daemon``)."""

import json
import os
import signal

import pytest

from tests.e2e.client import stream
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.load import ConstantLoad

A = '[models.a]\nsource = "{dir}/ok"\naliases = ["default"]\n'
B = '[models.b]\nsource = "{dir}/ok"\n'


@pytest.fixture
def daemon(tmp_path):
    with DaemonProcess(tmp_path, A + B, module="tests.support.fake_daemon") as started:
        for version in ("ok", "newer", "damaged", "faulty", "slow", "needs-100", "needs-600"):
            (tmp_path / version).mkdir()
        started.wait_ready()
        yield started


def source(daemon, model="b"):
    """What the worker that serves has really loaded."""
    return daemon.model(model)["runner"]["reason"].rsplit("/", 1)[-1]


def test_a_new_version_takes_over_and_the_old_one_ends(daemon):
    before = daemon.model("b")["pid"]
    status, answer = daemon.reload(A + B.replace("ok", "newer"))
    assert (status, answer["result"], answer["plan"]["models"][0]["action"]) == (200, "applied", "replace")
    after = daemon.model("b")
    assert (source(daemon), after["differs"]) == ("newer", None)
    assert after["pid"] != before
    daemon.until(lambda: daemon.model("b")["leaving_pids"] == [], "the old one is gone")


@pytest.mark.parametrize("version", ["damaged", "faulty"])
def test_a_new_version_that_fails_leaves_the_old_one_serving(daemon, version):
    before = daemon.model("b")["pid"]
    status, answer = daemon.reload(A + B.replace("ok", version))
    assert (status, answer["result"], list(answer["models"])) == (500, "failed", ["b"])
    after = daemon.model("b")
    assert (after["state"], after["pid"], source(daemon)) == ("ready", before, "ok")
    assert after["differs"] in answer["models"]["b"]
    assert daemon.metrics()["mlxd_config_last_reload_successful"] == 0
    status, answer = daemon.reload(A + B.replace("ok", "newer"))
    assert (status, answer["result"], source(daemon)) == (200, "applied", "newer")
    assert daemon.metrics()["mlxd_config_last_reload_successful"] == 1


def test_a_bad_file_changes_nothing_until_it_is_good_again(daemon):
    before = daemon.admin("/admin/v1/config")[1]
    status, answer = daemon.reload(A + B + "[models.c]\nsorce = 3\n")
    assert (status, answer["result"], answer["sha256"]) == (422, "invalid", before["sha256"])
    assert len(answer["problems"]) == 2  # all at once: a key that is missing, one that is unknown
    assert daemon.metrics()["mlxd_config_last_reload_successful"] == 0
    assert "sorce" in daemon.admin("/admin/v1/status")[1]["config"]["last_error"]
    assert daemon.admin("/readyz")[0] == 200
    daemon.save(A + B)
    daemon.until(lambda: daemon.metrics()["mlxd_config_last_reload_successful"] == 1, "the watcher sees that the file is good again")
    assert daemon.admin("/admin/v1/config")[1] == before


def test_a_hangup_reloads(daemon):
    daemon.config.write_text(daemon.compose(A))
    os.kill(daemon.process.pid, signal.SIGHUP)
    daemon.until(lambda: [model["id"] for model in daemon.admin("/admin/v1/models")[1]["models"]] == ["a"], "b is gone")


def test_a_reload_during_a_reload_is_applied_after_it(daemon):
    daemon.save(A + B.replace("ok", "slow"))
    daemon.until(lambda: daemon.model("b")["replacing"], "the slow version loads")
    status, answer = daemon.reload(A + B.replace("ok", "newer"))  # nobody ever lets the slow one finish
    assert (status, answer["result"], source(daemon)) == (200, "applied", "newer")


def test_twenty_quick_saves_end_in_the_last_one(daemon):
    for number in range(20):
        daemon.save(A + B + f"[models.b.batching]\nmax_queue = {100 + number}\n")
    daemon.until(lambda: daemon.model("b")["limits"]["max_queue"] == 119, "the last one")
    assert len(daemon.events("reload_done")) <= 20


def test_requests_stay_with_their_worker_until_the_deadline(daemon):
    daemon.reload(A + B, server='drain_timeout = "300ms"')
    with stream(daemon, {"model": "b", "prompt": "hold one two"}) as running:
        daemon.until(lambda: daemon.model("b")["requests"]["running"] == 1, "running")
        status, answer = daemon.reload(A + B.replace("ok", "newer"), server='drain_timeout = "300ms"')
        assert (status, answer["result"], source(daemon)) == (200, "applied", "newer")
        assert json.loads(list(running)[-1])["error"]["code"] == "shutting_down"


def test_where_there_is_no_memory_for_both_the_old_one_ends_first(daemon):
    memory = '[memory]\nlimit = "1000B"\n'
    needs = B.replace("ok", "needs-600")
    assert daemon.reload(memory + A + needs)[0] == 200
    status, answer = daemon.reload(memory + A + needs + '[models.b.batching]\nmode = "continuous"\n')
    assert (status, answer["result"]) == (200, "applied")
    assert [model["action"] for model in answer["plan"]["models"]] == ["drain_and_replace"]
    assert daemon.admin("/admin/v1/memory")[1]["reserved_bytes"] == 600


def test_the_port_moves_and_requests_under_way_finish(daemon, free_port):
    with stream(daemon, {"model": "b", "prompt": "hold one two"}) as running:
        daemon.until(lambda: daemon.model("b")["requests"]["running"] == 1, "running")
        status, answer = daemon.reload(A + B, listen=f"127.0.0.1:{free_port}")
        assert (status, answer["result"], daemon.port) == (200, "applied", free_port)
        events = iter(running)
        for word in ("one", "two"):
            os.kill(daemon.model("b")["pid"], signal.SIGUSR1)  # a permit for each word; two at a time would be one
            assert word in next(events)
        assert list(events)[-1] == "[DONE]"


def test_what_is_edited_does_not_disturb_what_is_not(daemon, free_port):
    """The list of the issue, one after the other, under load on A."""
    pid = daemon.model("a")["pid"]
    with ConstantLoad(daemon, {"model": "a", "prompt": "the same words again"}, key="first") as load:
        before = load.counts.copy()
        new_b = B.replace("ok", "newer")
        for models, options in (
            (A + new_b, {}),
            (A + new_b + '[models.b.batching]\nmode = "continuous"\n', {}),
            (A + "[models.a.batching]\nmax_sequences = 3\n" + new_b, {}),
            (A.replace('["default"]', "[]") + new_b + 'aliases = ["default"]\n', {}),
            (A + new_b, {"server": 'api_keys = ["first", "second"]'}),
            (A + new_b, {"server": 'api_keys = ["first"]'}),
            (A + new_b, {"server": 'api_keys = ["first"]', "level": "info"}),
            (A + new_b + B.replace("models.b", "models.c"), {}),
            (A + new_b, {}),
            (A + new_b, {"listen": f"127.0.0.1:{free_port}"}),
            (A + B, {"listen": "127.0.0.1:0"}),
        ):
            status, answer = daemon.reload(models, **options)
            assert (status, answer["problems"]) == (200, []), answer
            assert daemon.model("a")["pid"] == pid
            load.wait_served(5)
    served, cached = (load.counts[name] - before[name] for name in ("served", "cached"))
    assert served == cached > 50
