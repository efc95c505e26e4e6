"""Whose a cache is, as users see it: one key's flood leaves another's conversation alone, and nothing takes what is pinned."""

import pytest

from mlxd.cli import main
from tests.e2e.client import post
from tests.e2e.conftest import TINY
from tests.e2e.daemon_process import DaemonProcess

KEYS = {"agents": "sesame-of-agents", "people": "sesame-of-people"}
PINNED = "You are the help desk of a shop that sells lamps, and you answer in one sentence. " * 6
TURN = "My lamp does not go on, though I have changed its bulb, and the one beside it does. " * 6
CONFIG = (
    "".join(f'[[server.keys]]\nname = "{name}"\nkey = "{key}"\n{{{name}}}\n' for name, key in KEYS.items())
    + TINY
    + '[models.tiny.cache]\nmemory = "2MiB"\n[[models.tiny.cache.pin]]\nname = "desk"\nprompt_file = "{dir}/desk.txt"\nform = "text"\n'
)


def config(agents=""):
    return CONFIG.replace("{agents}", agents).replace("{people}", "")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, tiny_model):
    directory = tmp_path_factory.mktemp("shares")
    (directory / "model").symlink_to(tiny_model)
    (directory / "desk.txt").write_text(PINNED)
    with DaemonProcess(directory, config('cache_quota = "30%"')) as started:
        started.wait_ready()
        started.until(lambda: cache(started)["pinned_bytes"], "the pin is computed")
        yield started


def cache(daemon):
    return daemon.model()["cache"]


def cached(daemon, key, prompt):
    """How many of a prompt's tokens were in the cache."""
    body = {"model": "tiny", "prompt": prompt, "max_tokens": 2, "temperature": 0}
    status, _, answer = post(daemon, "/v1/completions", body, **{"x-api-key": KEYS[key]})
    assert status == 200, answer
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def flood(daemon):
    for number in range(12):
        cached(daemon, "agents", f"{number} is the number of this report. " * 30)


def test_a_flood_of_a_key_with_a_quota_leaves_another_ones_conversation_and_the_pin(daemon):
    assert cached(daemon, "people", TURN) == 0
    flood(daemon)
    assert cached(daemon, "people", TURN + "Why?") > len(TURN) - 32
    assert cached(daemon, "people", PINNED + "What do you sell?") > len(PINNED) - 32
    daemon.reload(config())
    flood(daemon)
    assert cached(daemon, "people", TURN + "Why?") == 0, "without a quota it is gone"
    assert cached(daemon, "people", PINNED + "Who are you?") > len(PINNED) - 32


def test_a_pin_survives_that_everything_is_evicted(daemon):
    cached(daemon, "people", TURN)
    assert main(["evict", "tiny", "--admin", f"unix:{daemon.socket}"]) == 0
    assert cached(daemon, "people", TURN) == 0
    assert cached(daemon, "people", PINNED + "Where are you?") > len(PINNED) - 32
