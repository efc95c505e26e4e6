"""Keys with names, as a user runs them: what they share, what a reload changes, and that no key is ever in anything that mlxd tells."""

import json

import pytest

from mlxd.cli import main
from tests.e2e.client import post, stream
from tests.e2e.conftest import ENDLESS
from tests.e2e.daemon_process import DaemonProcess
from tests.support.trace_collector import TraceCollector

KEYS = {"agents": "sesame-of-agents", "people": "sesame-of-people", "ann": "sesame-of-ann", "bob": "sesame-of-bob", "": "sesame-alone"}
REFUSED = "sesame-of-nobody"
PROMPT = "It was the best of times, it was the worst of times, it was the age of wisdom. " * 3
CONFIG = """
[[server.keys]]
name = "agents"
key = "env:AGENTS_KEY"
cache_salt = "own"
{agents}
[[server.keys]]
name = "people"
key = "file:people.key"
cache_salt = "own"
models = ["p*"]
requests_per_minute = 6
[[server.keys]]
name = "ann"
key = "sesame-of-ann"
[[server.keys]]
name = "bob"
key = "sesame-of-bob"
[tracing]
enabled = true
endpoint = "{endpoint}"
[models.paged]
source = "{dir}/model"
batching = {mode = "continuous"}
[models.batched]
source = "{dir}/model"
batching = {mode = "continuous"}
cache = {kind = "entries"}
[models.simple]
source = "{dir}/model"
"""
SERVER = f'api_keys = ["{KEYS[""]}"]'


@pytest.fixture(scope="module")
def collector():
    with TraceCollector() as running:
        yield running


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, tiny_model, collector):
    directory = tmp_path_factory.mktemp("keys")
    (directory / "model").symlink_to(tiny_model)
    (directory / "people.key").write_text(KEYS["people"])
    env = {"AGENTS_KEY": KEYS["agents"]}
    with DaemonProcess(directory, config(collector), server=SERVER, env=env) as started:
        started.wait_ready()
        yield started


def config(collector, agents=""):
    return CONFIG.replace("{endpoint}", collector.endpoint).replace("{agents}", agents)


def ask(daemon, key, prompt=PROMPT, model="paged", **fields):
    """(status, headers, parsed body)."""
    body = {"model": model, "prompt": prompt, "max_tokens": 2, "temperature": 0} | fields
    return post(daemon, "/v1/completions", body, **{"x-api-key": KEYS.get(key, key)})


def cached(daemon, key, model):
    """Tokens of the prompt that were in the cache."""
    status, _, body = ask(daemon, key, model=model)
    assert status == 200, body
    return body["usage"]["prompt_tokens_details"]["cached_tokens"]


def of_key(daemon, name):
    return next(key for key in daemon.admin("/admin/v1/keys")[1]["keys"] if key["name"] == name)


@pytest.mark.parametrize("model", ["paged", "batched", "simple"])
def test_a_prompt_is_found_by_those_only_who_share_it(daemon, model):
    assert cached(daemon, "agents", model) == 0
    assert cached(daemon, "ann", model) == 0, "what agents asked is theirs"
    assert cached(daemon, "bob", model) > 0, "ann shares"
    assert cached(daemon, "", model) > 0, "those without names share"
    assert cached(daemon, "agents", model) > 0, "they find their own"


def test_two_keys_with_salts_of_their_own_find_nothing_of_each_other(daemon):
    prompt = "Whoever asks first pays for all of it. " * 6
    assert ask(daemon, "agents", prompt)[0] == 200
    for expected in (False, True):
        usage = ask(daemon, "people", prompt)[2]["usage"]
        assert (usage["prompt_tokens_details"]["cached_tokens"] > 0) is expected


def test_401_403_and_429(daemon):
    assert [ask(daemon, key)[0] for key in (REFUSED, REFUSED[:-1])] == [401, 401]
    assert ask(daemon, "people", model="simple")[2]["error"]["code"] == "model_not_allowed"
    answers = [ask(daemon, "people") for _ in range(7)]
    status, headers, body = answers[-1]
    assert (status, body["error"]["code"], headers["x-ratelimit-remaining-requests"]) == (429, "rate_limit_exceeded", "0")
    assert 0 < int(headers["retry-after"]) <= 60
    assert of_key(daemon, "people")["refused"]["requests_per_minute"] >= 1


def test_a_reload_of_keys_leaves_what_runs_alone(daemon, collector):
    plain = config(collector)
    without = plain.replace('name = "agents"', 'name = "others"').replace("env:AGENTS_KEY", "sesame-of-others")
    with stream(daemon, ENDLESS | {"model": "paged"}, headers={"x-api-key": KEYS["agents"]}) as running:
        lines = iter(running)
        assert next(lines)
        assert daemon.reload(without, server=SERVER)[1]["result"] == "applied"
        assert ask(daemon, "agents")[0] == 401
        assert next(lines)
        assert daemon.reload(config(collector, "max_concurrent = 1"), server=SERVER)[1]["result"] == "applied"
        assert ask(daemon, "agents")[0] == 429, "the one that runs has not been forgotten"
        assert next(lines)
    daemon.until(lambda: not of_key(daemon, "agents")["running"], "it is over")
    assert ask(daemon, "agents")[0] == 200
    assert daemon.reload(plain, server=SERVER)[1]["result"] == "applied"


def traces(collector):
    """All that came, once something has: they are sent every few seconds."""
    collector.wait_for(1)
    return b"".join(collector.bodies).decode(errors="replace")


def test_no_key_is_in_anything_that_is_told(daemon, collector, capfd):
    """The last test: it looks at what all of them have left."""
    paths = ["status", "config", "models", "memory", "keys", "operations", "openapi.json", "models/paged/requests"]
    told = {path: json.dumps(daemon.admin(f"/admin/v1/{path}")[1]) for path in paths}
    new = daemon.config.with_name("new.toml")
    new.write_text(daemon.config.read_text().replace("sesame-of-ann", "sesame-of-anna").replace(KEYS[""], "sesame-in-company"))
    at = ["--admin", f"unix:{daemon.socket}"]
    commands = (
        ["status"],
        ["keys"],
        ["keys", "--json"],
        ["memory"],
        ["requests", "paged"],
        ["diff", str(new)],
        ["diff", str(new), "--json"],
    )
    for command in commands:
        assert main([*command, *at]) == 0, command
    assert main(["diff", str(daemon.config), str(new)]) == 78  # the environment of the daemon is not this one's
    assert main(["validate", str(new)]) == 78
    errors = [json.dumps(ask(daemon, key, model=model)[::2]) for key in (*KEYS, REFUSED) for model in ("paged", "nothing")]
    told |= {
        "commands": "".join(capfd.readouterr()),
        "errors": "".join(errors),
        "metrics": daemon.admin("/metrics")[1],
        "log": daemon.log.read_text(),
        "standard output": daemon.config.with_name("out.txt").read_text(),
        "traces": traces(collector),
    }
    assert all(told.values())
    assert [name for name, text in told.items() if "sesame" in text] == []
    assert {"agents", "people", "ann", "bob", "api_keys"} <= {line.get("key") for line in daemon.events("request_finished")}
    assert daemon.events("key_refused")[0]["peer"] == "127.0.0.1"
    assert 'mlxd_key_requests_total{key="agents"}' in told["metrics"]
    assert '"agents"' in told["keys"]
    assert "server.keys.ann.key" in told["commands"]
