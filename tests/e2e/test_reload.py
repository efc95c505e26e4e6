"""Reloads with real workers: what an edit does to a model that runs, and to one beside it."""

import json
import shutil
import threading

import pytest

from tests.e2e.client import post, stream
from tests.e2e.conftest import ENDLESS, TINY
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.load import ConstantLoad
from tests.support.patience import PATIENCE
from tests.support.tiny_model import make_tiny_model

OTHER = '[models.other]\nsource = "{dir}/other"\n'
PROMPT = {"model": "tiny", "prompt": "the same words again, more than a block of them", "temperature": 0, "max_tokens": 4}


@pytest.fixture(scope="module")
def shared(tmp_path_factory, tiny_model):
    directory = tmp_path_factory.mktemp("reload")
    (directory / "model").symlink_to(tiny_model)
    with DaemonProcess(directory, TINY) as started:
        yield started


@pytest.fixture
def daemon(shared):
    """A daemon that runs ``TINY``, as every test leaves it."""
    shared.wait_ready()
    yield shared
    assert shared.reload(TINY)[0] == 200


def test_a_model_is_added_changed_and_removed_beside_one_that_is_used(daemon):
    make_tiny_model(daemon.directory / "other", max_position_embeddings=100)
    make_tiny_model(daemon.directory / "newer", max_position_embeddings=300)
    pid = daemon.model()["pid"]
    with ConstantLoad(daemon, PROMPT, clients=1) as load:
        before = load.counts.copy()
        for models, action, context in (
            (TINY + OTHER, "load", 100),
            (TINY + OTHER.replace("/other", "/newer"), "replace", 300),
            (TINY, "unload", None),
        ):
            status, answer = daemon.reload(models)
            assert (status, [one["action"] for one in answer["plan"]["models"]]) == (200, [action]), answer
            if context:
                assert daemon.model("other")["context_length"] == context
            load.wait_served(1)
    assert load.counts["served"] - before["served"] == load.counts["cached"] - before["cached"]  # nothing of its cache was lost
    assert daemon.model()["pid"] == pid
    assert daemon.admin("/admin/v1/models/other")[0] == 404


def test_limits_reach_the_worker_while_it_generates(daemon):
    pid = daemon.model()["pid"]
    with stream(daemon, ENDLESS) as running:
        running.first()
        status, answer = daemon.reload(TINY.replace("[models", "max_sequences = 1\nmax_queue = 1\n[models", 1))
        assert (status, answer["result"]) == (200, "applied")
        model = daemon.model()
        assert (model["pid"], model["limits"]["max_sequences"], model["limits"]["max_queue"]) == (pid, 1, 1)
        running.first()  # it goes on
        waiting = threading.Thread(target=post, args=(daemon, "/v1/completions", ENDLESS | {"max_tokens": 1}))
        waiting.start()
        daemon.until(lambda: daemon.model()["requests"] == {"running": 1, "waiting": 1}, "one runs, one waits")
        status, headers, body = post(daemon, "/v1/completions", ENDLESS | {"max_tokens": 1})
        assert (status, body["error"]["code"]) == (429, "queue_full")
        assert int(headers["retry-after"]) >= 1
    waiting.join(PATIENCE)


def test_a_damaged_new_version_leaves_the_old_one_serving(daemon):
    damaged = daemon.directory / "damaged"
    shutil.copytree(daemon.directory / "model", damaged)
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    before, expected = daemon.model(), post(daemon, "/v1/completions", PROMPT)[2]["choices"]
    status, answer = daemon.reload(TINY.replace("/model", "/damaged"))
    assert (status, answer["result"]) == (500, "failed")
    assert "safetensors" in answer["models"]["tiny"]
    after = daemon.model()
    assert (after["pid"], after["state"], after["differs"]) == (before["pid"], "ready", answer["models"]["tiny"])
    assert post(daemon, "/v1/completions", PROMPT)[2]["choices"] == expected


def test_a_lazy_model_loads_at_its_first_request_and_leaves_when_it_is_idle(start_daemon):
    daemon = start_daemon(TINY + '[models.tiny.lifecycle]\nload = "lazy"\nidle_unload = "300ms"\n')
    daemon.wait_ready()  # nothing is to be loaded
    assert daemon.model()["state"] == "stopped"
    answers = []
    together = [threading.Thread(target=lambda: answers.append(post(daemon, "/v1/completions", PROMPT))) for _ in range(3)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join(PATIENCE)
    assert [status for status, _, _ in answers] == [200] * 3
    assert len(daemon.events("model_ready")) == 1  # they waited for the same load
    daemon.until(lambda: daemon.model()["state"] == "stopped", "idle for long enough")
    assert post(daemon, "/v1/completions", PROMPT)[0] == 200
    assert len(daemon.events("model_ready")) == 2


def test_a_cancelled_request_ends_with_an_error_and_the_cache_can_be_evicted(daemon):
    with stream(daemon, ENDLESS) as running:
        running.first()
        [request] = daemon.admin("/admin/v1/models/tiny/requests")[1]["requests"]
        assert daemon.admin(f"/admin/v1/models/tiny/requests/{request['id']}", "DELETE")[0] == 200
        assert json.loads(list(running)[-1])["error"]["code"] == "request_cancelled"
    assert post(daemon, "/v1/completions", PROMPT)[0] == 200
    evicted = daemon.admin("/admin/v1/models/default/evict", "POST")[1]
    assert evicted["entries"] > 0
    assert evicted["bytes"] > 0
    assert post(daemon, "/v1/completions", PROMPT)[2]["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
