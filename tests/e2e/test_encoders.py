"""A model that makes vectors in a real daemon: killed, restarted, hung up on, beside one that generates."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.client import post
from tests.e2e.daemon_process import DaemonProcess
from tests.support.tiny_encoder import make_tiny_embedder

TOML = """
[defaults.batching]
mode = "continuous"
attention = "rows"

[defaults.worker]
restart_backoff = "50ms"
heartbeat_interval = "100ms"

[models.tiny]
source = "{dir}/model"

[models.vectors]
source = "{dir}/embedder"
"""
TEXTS = [f"text {number}" + " of many" * (number % 9) for number in range(40)]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, tiny_model):
    directory = tmp_path_factory.mktemp("encoders")
    (directory / "model").symlink_to(tiny_model)
    make_tiny_embedder(directory / "embedder", num_hidden_layers=2)
    with DaemonProcess(directory, TOML) as started:
        started.wait_ready()
        yield started


def embed(daemon, texts, **fields):
    return post(daemon, "/v1/embeddings", {"model": "vectors", "input": texts, "encoding_format": "float"} | fields)


def vectors(daemon, texts=TEXTS):
    status, _, answer = embed(daemon, texts)
    assert status == 200, answer
    return [one["embedding"] for one in answer["data"]]


def furthest(ones, others):
    return max(abs(a - b) for one, other in zip(ones, others, strict=True) for a, b in zip(one, other, strict=True))


def test_a_killed_worker_comes_back_and_makes_the_same_vectors(daemon):
    before, killed = vectors(daemon), daemon.model("vectors")["pid"]
    with ThreadPoolExecutor(1) as pool:
        doomed = pool.submit(embed, daemon, TEXTS * 50)
        daemon.until(lambda: daemon.model("vectors")["requests"]["running"] == 1, "one running")
        os.kill(killed, signal.SIGKILL)
        status, _, answer = doomed.result()
    assert (status, answer["error"]["code"]) == (503, "worker_lost")
    daemon.wait_ready()
    assert daemon.model("vectors")["pid"] != killed
    assert furthest(vectors(daemon), before) < 1e-5
    assert post(daemon, "/v1/completions", {"model": "tiny", "prompt": "a", "max_tokens": 2})[0] == 200


def test_a_restart_proves_the_new_worker_by_a_text_and_loses_no_request(daemon):
    before, old = vectors(daemon), daemon.model("vectors")["pid"]
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(vectors, daemon, TEXTS[number:]) for number in range(8)]
        assert daemon.admin("/admin/v1/models/vectors/restart?wait=1", method="POST")[0] == 200
        for number, one in enumerate(running):
            assert furthest(one.result(), before[number:]) < 1e-5
    assert daemon.model("vectors")["pid"] != old


def test_what_it_reserves_has_no_cache_and_what_it_holds_stays_within(daemon):
    model = daemon.model("vectors")
    assert model["tasks"] == ["embed"]
    assert model["memory"]["kv_bytes"] == 0
    assert model["memory"]["held_bytes"] < model["reserved_bytes"]
    assert json.dumps(model["runner"]).startswith('{"name": "encoder"')
