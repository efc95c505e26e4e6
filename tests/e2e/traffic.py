"""Everything that can happen to a daemon, so that every metric has something to tell."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.client import post, send, stream

# 64 blocks of 16 tokens, two sequences at once: a few clients fill the cache, its queue, and make it preempt and evict.
REAL = """
[metrics]
listen = "127.0.0.1:0"
tls = {certificate = "{dir}/tls.pem", key = "{dir}/tls.key"}
[defaults.worker]
heartbeat_interval = "50ms"
restart_backoff = "50ms"
[models.tiny]
source = "{dir}/model"
batching = {mode = "continuous", max_sequences = 3}
cache = {memory = "512KiB", disk = {path = "{dir}/blocks", limit = "64MiB"}}
[models.tiny.adapters.sql]
source = "{dir}/adapter"
[models.second]
source = "{dir}/model"
lifecycle = {load = "lazy"}
"""
FAKE = """
[metrics]
listen = "127.0.0.1:0"
[defaults.worker]
restart_backoff = "50ms"
[models.fake]
source = "{dir}/ok"
[models.vectors]
source = "fake/embeds"
"""
TEXTS = {"model": "vectors", "input": [f"text {number}" for number in range(9)]}
LONG = {"model": "tiny", "temperature": 0, "max_tokens": 500, "logit_bias": {"258": -100}}
SYSTEM = {"role": "system", "content": "You are patient. " * 8}


def complete(daemon, prompt, **options):
    """Its status."""
    return post(daemon, "/v1/completions", {"model": "tiny", "prompt": prompt, "max_tokens": 4} | options)[0]


def chat(daemon, question):
    body = {"model": "tiny", "messages": [SYSTEM, {"role": "user", "content": question}], "max_tokens": 4}
    return post(daemon, "/v1/chat/completions", body)[0]


def together(call, arguments):
    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(call, arguments))


def ordinary(daemon):
    """Answers, streamed and whole, with what the cache has: nothing, a beginning, everything."""
    assert [chat(daemon, question) for question in ("And you?", "And I?", "And you?")] == [200] * 3
    assert complete(daemon, "And with it?", model="tiny:sql") == 200
    with stream(daemon, {"model": "tiny", "prompt": "Once upon", "max_tokens": 8}) as running:
        assert list(running)[-1] == "[DONE]"


def crowded(daemon):
    """More than fits: a queue, preemptions, evictions. One of the clients goes away."""
    with stream(daemon, LONG | {"prompt": "I am gone"}) as running:
        running.first()
    prompts = [f"{number} upon a time" for number in range(5)]
    assert together(lambda prompt: complete(daemon, prompt, **LONG), prompts) == [200] * 5


def mistaken(daemon):
    """Mistakes of clients."""
    assert complete(daemon, "Once", temperature=-1) == 400
    assert complete(daemon, "Once", model="gpt-5") == 404
    assert complete(daemon, "word " * 40_001) == 400


def operated(daemon):
    """What operators do: an eviction, a reload, a bad one, the good one again; a model loaded by its first request, and unloaded."""
    assert daemon.admin("/admin/v1/models/tiny/evict", "POST")[0] == 200
    assert daemon.reload(REAL + "[models.tiny.sampling]\ntemperature = 0.5\n")[1]["result"] == "applied"
    assert daemon.reload(REAL + "[models.tiny.sampling]\ntemperatur = 0.5\n")[1]["result"] == "invalid"
    assert daemon.reload(REAL)[0] == 200
    assert complete(daemon, "Once", model="second") == 200
    assert daemon.admin("/admin/v1/models/second/unload?wait=1", "POST")[0] == 200


def broken(daemon):
    """A worker is killed, and comes back."""
    os.kill(daemon.model()["pid"], signal.SIGKILL)
    daemon.until(lambda: daemon.model()["restarts"] == 1, "it restarts")
    daemon.wait_ready()


def refused(fake):
    """Refusals that a real model seldom gives."""
    answers = [post(fake, "/v1/completions", {"model": "fake", "prompt": prompt})[0] for prompt in ("two words", "full", "fail")]
    assert answers == [200, 429, 500]


def endless(daemon):
    """Two requests that run until their connections close."""
    return [send(daemon, LONG | {"prompt": prompt, "max_tokens": 100_000}) for prompt in ("For ever", "and ever")]
