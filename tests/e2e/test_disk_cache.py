"""Conversations that outlive their worker, and their daemon, on disk."""

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.e2e.client import post
from tests.e2e.conftest import ENDLESS, TINY

# Reading pays for a tiny model too: computing a token is cheap, and so are its bytes.
DISK = (
    TINY
    + '[models.tiny.worker]\nrestart_backoff = "50ms"\nheartbeat_interval = "100ms"\ncrash_limit = 1000\n'
    + '[models.tiny.cache]\nmemory = "64MiB"\n[models.tiny.cache.disk]\npath = "{dir}/blocks"\nlimit = "64MiB"\n'
)
TEN = [f"This is conversation {number}. " + f"It is about the number {number * 7919}, and no other. " * 8 for number in range(10)]


def ask(daemon, prompt):
    """The text, and how many of the prompt's tokens were cached."""
    status, _, body = post(daemon, "/v1/completions", ENDLESS | {"prompt": prompt, "max_tokens": 8})
    assert status == 200, body
    return body["choices"][0]["text"], body["usage"]["prompt_tokens_details"]["cached_tokens"]


def on_disk(daemon):
    return sum(path.stat().st_size for path in (daemon.directory / "blocks").rglob("*") if path.is_file())


def test_ten_conversations_are_found_after_a_kill_during_writes_and_after_a_restart(start_daemon):
    daemon = start_daemon(DISK)
    daemon.wait_ready()
    daemon.wait_disk("tiny")
    said = {prompt: ask(daemon, prompt)[0] for prompt in TEN}
    written = daemon.until(lambda: on_disk(daemon), "something is written")
    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(post, daemon, "/v1/completions", ENDLESS | {"prompt": str(n) * 3000, "max_tokens": 2}) for n in range(40)]
        daemon.until(lambda: on_disk(daemon) > written, "more is being written")
        os.kill(daemon.model()["pid"], signal.SIGKILL)
        assert {one.result()[0] for one in others} <= {200, 503, 500}
    daemon.wait_ready()
    daemon.wait_disk("tiny")
    found = {prompt: ask(daemon, prompt) for prompt in TEN}
    assert {prompt: text for prompt, (text, _) in found.items()} == said
    assert min(cached for _, cached in found.values()) > 300
    daemon.stop()
    daemon.start()
    daemon.wait_ready()
    daemon.wait_disk("tiny")
    again = {prompt: ask(daemon, prompt) for prompt in TEN}
    assert {prompt: text for prompt, (text, _) in again.items()} == said
    assert min(cached for _, cached in again.values()) > 300
    daemon.stop()
    other_weights(daemon.directory / "model")
    daemon.start()
    daemon.wait_ready()
    daemon.wait_disk("tiny")
    text, cached = ask(daemon, TEN[0])
    assert cached == 0
    assert text != said[TEN[0]]
    daemon.until(lambda: len(caches(daemon)) == 2, "what the new weights computed is kept beside what the old ones had")
    assert daemon.admin("/admin/v1/models/tiny/cache", "DELETE")[1]["removed"][0]["blocks"] > 100
    assert len(caches(daemon)) <= 1, "the worker that runs may have kept something since"
    daemon.save(DISK.replace('path = "{dir}/blocks"', 'path = ""'))
    daemon.until(lambda: daemon.model()["limits"]["disk"] is None, "it is off without a restart")
    assert ask(daemon, TEN[0])[0] == text


def caches(daemon):
    """What there is of each weights; the directory is within its limit, and says so before it takes more."""
    taken = on_disk(daemon)  # looked at first: a worker goes on writing
    (directory,) = daemon.admin("/admin/v1/cache")[1]["directories"]
    assert [user["model"] for user in directory["users"]] == ["tiny"]
    assert taken <= directory["bytes"] <= directory["limit_bytes"]
    assert {cache["model"] for cache in directory["caches"]} <= {"tiny"}
    return directory["caches"]


def other_weights(model):
    """In the place of the model is another one, of the same name and shape."""
    copy = model.with_name("other")
    shutil.copytree(model.resolve(), copy)
    weights = load_file(copy / "model.safetensors")
    weights["lm_head.weight"] = np.ascontiguousarray(weights["lm_head.weight"][::-1])
    save_file(weights, copy / "model.safetensors", metadata={"format": "mlx"})
    model.unlink()
    model.symlink_to(copy)
