"""Adapters as an operator has them: several and none in one batch, coming and going beside streams, refused by name, each with its own
figures; and what a key that is for one of them may ask for.
"""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.client import post, stream
from tests.e2e.conftest import TINY
from tests.e2e.daemon_process import DaemonProcess
from tests.support.adapter_files import write_mlx_lm, write_peft

SHAPES = {"self_attn.q_proj": (64, 64), "self_attn.v_proj": (64, 32)}
LAYERS = {f"model.layers.{layer}.{name}": shape for layer in (0, 1) for name, shape in SHAPES.items()}
NAMES = ("tiny", "tiny:a", "tiny:b", "tiny:c")
PROMPT = {"prompt": "once upon a time there was a king who had a daughter", "max_tokens": 24, "temperature": 0, "ignore_eos": True}
WORKER = '[defaults.worker]\nheartbeat_interval = "50ms"\n'
ALL = {"a": "a", "b": "b", "c": "c"}


def config(adapters, **settings):
    """The model with these adapters, by the names of their directories."""
    tables = "".join(
        f'[models.tiny.adapters.{name}]\nsource = "{{dir}}/{source}"\n{settings.get(name, "")}\n' for name, source in adapters.items()
    )
    return WORKER + TINY + tables


def take_over(daemon, text):
    """All is as the file says, whether or not the watcher was faster."""
    status, answer = daemon.reload(text)
    assert (status, answer["result"] in ("applied", "unchanged")) == (200, True), answer


@pytest.fixture(scope="module")
def started(tmp_path_factory, tiny_model):
    directory = tmp_path_factory.mktemp("adapters")
    (directory / "model").symlink_to(tiny_model)
    write_mlx_lm(directory / "a", LAYERS, seed=1)
    write_peft(directory / "b", LAYERS, rank=8, seed=2)
    write_mlx_lm(directory / "c", dict(list(LAYERS.items())[:1]), rank=2, seed=3)
    write_mlx_lm(directory / "a2", LAYERS, seed=4)
    write_mlx_lm(directory / "stranger", {"model.layers.7.self_attn.q_proj": (64, 64)})
    with DaemonProcess(directory, config(ALL)) as daemon:
        daemon.wait_ready()
        yield daemon


@pytest.fixture
def daemon(started):
    """The daemon with all three, whatever the last test did to it."""
    take_over(started, config(ALL))
    return started


def complete(daemon, name, **options):
    """What is said, and how much of the prompt was cached."""
    status, _, body = post(daemon, "/v1/completions", PROMPT | {"model": name} | options)
    assert (status, body.get("model")) == (200, name), body
    return body["choices"][0]["text"], body["usage"]["prompt_tokens_details"]["cached_tokens"]


def together(daemon, names):
    with ThreadPoolExecutor(len(names)) as pool:
        return [text for text, _ in pool.map(lambda name: complete(daemon, name), names)]


def refused(daemon, name, **headers):
    status, _, body = post(daemon, "/v1/completions", PROMPT | {"model": name}, **headers)
    return status, body["error"]["code"], body["error"]["message"]


def adapter(daemon, name):
    return next(one for one in daemon.model()["adapters"] if one["name"] == name)


# ---- in one batch ----


def test_several_and_none_at_once_say_what_each_says_alone(daemon):
    assert daemon.admin("/admin/v1/models/tiny/evict", "POST")[0] == 200
    alone = {name: complete(daemon, name) for name in NAMES}
    assert len({text for text, _ in alone.values()}) == len(NAMES), "one of them changes nothing"
    assert [cached for _, cached in alone.values()] == [0] * len(NAMES), "what one computed is of no use to another"
    assert min(complete(daemon, name)[1] for name in NAMES) >= 32, "and of use to itself"
    assert daemon.admin("/admin/v1/models/tiny/evict", "POST")[0] == 200
    names = [*NAMES, *reversed(NAMES)]
    assert together(daemon, names) == [alone[name][0] for name in names]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "once"}], "max_tokens": 16}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "once"}], "max_tokens": 16}),
        ("/v1/responses", {"input": "once", "max_output_tokens": 16}),
    ],
)
def test_no_endpoint_drops_it(daemon, path, body):
    def told(name):
        status, _, answer = post(daemon, path, body | {"model": name, "temperature": 0})
        assert (status, answer["model"]) == (200, name)
        return json.dumps(answer.get("choices") or answer.get("content") or [one.get("content") for one in answer["output"]])

    assert told("tiny:a") != told("tiny")


# ---- live ----


def test_one_comes_another_is_exchanged_and_a_third_goes_beside_streams(daemon):
    pid, before = daemon.model()["pid"], {name: complete(daemon, name)[0] for name in NAMES}
    long = PROMPT | {"max_tokens": 1500}
    with stream(daemon, long | {"model": "tiny"}) as plain, stream(daemon, long | {"model": "tiny:b"}) as with_b:
        events = [iter(plain), iter(with_b)]
        firsts = [[next(one)] for one in events]
        changed = config({"a": "a2", "c": "c", "new": "b"}, new='load = "eager"')
        take_over(daemon, changed)
        assert complete(daemon, "tiny:new")[0] == before["tiny:b"]
        assert complete(daemon, "tiny:a")[0] not in before.values()
        assert complete(daemon, "tiny:c")[0] == before["tiny:c"]
        assert refused(daemon, "tiny:b")[:2] == (404, "model_not_found")
        assert [list(one)[-1] for one in events] == ["[DONE]", "[DONE]"]
    assert all(firsts)
    assert daemon.model()["pid"] == pid
    assert [one["name"] for one in daemon.model()["adapters"]] == ["a", "c", "new"]
    assert {line.split('adapter="')[1].split('"')[0] for line in daemon.metrics() if 'adapter="' in line} == {"a", "c", "new"}


# ---- what cannot be used ----


def test_one_of_another_model_fails_the_reload_that_brings_it_and_nothing_else(daemon):
    text = complete(daemon, "tiny")[0]
    status, answer = daemon.reload(config({**ALL, "x": "stranger"}, x='load = "eager"'))
    assert (status, answer["result"]) == (500, "failed")
    assert answer["models"]["tiny"].startswith("adapters.x: ")
    assert "model.layers.7.self_attn.q_proj" in answer["models"]["tiny"]
    assert daemon.admin("/readyz")[0] == 200
    assert refused(daemon, "tiny:x")[:2] == (503, "adapter_failed")
    assert "model.layers.7.self_attn.q_proj" in adapter(daemon, "x")["reason"]
    assert (complete(daemon, "tiny")[0], complete(daemon, "tiny:a")[0] != text) == (text, True)
    take_over(daemon, config(ALL))


def test_one_that_is_not_there_is_refused_before_anything_changes(daemon):
    status, answer = daemon.reload(config({**ALL, "x": "nowhere"}))
    assert (status, answer["result"]) == (409, "refused")
    assert answer["problems"] == [f"models.tiny.adapters.x.source: there is nothing at {daemon.directory}/nowhere"]
    take_over(daemon, config(ALL))


@pytest.mark.parametrize("kind", ["npz", "no config", "garbage"])
def test_a_bad_file_is_named_and_once_it_is_good_an_operator_has_it_loaded(daemon, kind):
    directory = daemon.directory / f"bad {kind}"
    shutil.copytree(daemon.directory / "a", directory)
    weights, named = directory / "adapters.safetensors", "adapters.safetensors"
    match kind:
        case "npz":
            weights.rename(directory / "adapters.npz")
            named = "adapters.npz"
        case "no config":
            (directory / "adapter_config.json").unlink()
            named = "adapter_config.json"
        case _:
            weights.write_bytes(b"no tensors")
    take_over(daemon, config({**ALL, "x": directory.name}))
    status, code, message = refused(daemon, "tiny:x")
    assert (status, code) == (503, "adapter_failed")
    assert f"{directory}/{named}" in message
    assert daemon.until(lambda: adapter(daemon, "x")["state"] == "failed", "it is told")
    status, answer = daemon.admin("/admin/v1/models/tiny/adapters/x/load?wait=1", "POST")
    assert (status, answer["error"]["code"]) == (503, "adapter_failed")
    shutil.rmtree(directory)
    shutil.copytree(daemon.directory / "a", directory)
    assert daemon.admin("/admin/v1/models/tiny/adapters/x/load?wait=1", "POST")[0] == 200
    assert complete(daemon, "tiny:x")[0] == complete(daemon, "tiny:a")[0]


# ---- what is told, and who may ----


def test_an_operator_unloads_one_and_the_next_request_loads_it_again(daemon):
    text = complete(daemon, "tiny:b")[0]
    told = daemon.until(lambda: adapter(daemon, "b") if adapter(daemon, "b")["state"] == "loaded" else None, "it is told")
    assert (told["format"], told["rank"], told["scale"], told["layers"]) == ("peft", 8, 1.0, 4)
    assert told["bytes"] > 0
    loads = told["loads"]
    assert loads > 0
    assert daemon.admin("/admin/v1/models/tiny/adapters/b/unload?wait=1", "POST")[0] == 200
    daemon.until(lambda: adapter(daemon, "b")["state"] == "unloaded", "it is unloaded")
    assert complete(daemon, "tiny:b")[0] == text
    again = daemon.until(lambda: adapter(daemon, "b") if adapter(daemon, "b")["state"] == "loaded" else None, "it is loaded")
    assert (again["loads"], again["evictions"]) == (loads + 1, told["evictions"])


def test_each_has_its_own_figures(daemon):
    def counted(name):
        metrics = daemon.metrics()
        ok = 'outcome="ok"'
        labels = f'adapter="{name}",model="tiny"'
        return metrics[f"mlxd_adapter_requests_total{{{labels},{ok}}}"], metrics[f"mlxd_adapter_generation_tokens_total{{{labels}}}"]

    before = counted("a"), counted("b")
    complete(daemon, "tiny:a")
    complete(daemon, "tiny")
    after = counted("a"), counted("b")
    assert (after[0][0] - before[0][0], after[0][1] - before[0][1]) == (1, PROMPT["max_tokens"])
    assert after[1] == before[1]
    finished = daemon.events("request_finished")[-2:]
    assert [(one["model"], one.get("adapter")) for one in finished] == [("tiny", "a"), ("tiny", None)]


def test_a_key_for_one_adapter_is_for_no_other_and_not_for_the_model(daemon):
    keys = '[[server.keys]]\nname = "agents"\nkey = "right"\nmodels = ["tiny:a"]\n'
    take_over(daemon, keys + config(ALL))
    mine = {"x-api-key": "right"}
    assert post(daemon, "/v1/completions", PROMPT | {"model": "tiny:a"}, **mine)[0] == 200
    for name in ("tiny", "tiny:b", "default"):
        status, code, message = refused(daemon, name, **mine)
        assert (status, code) == (403, "model_not_allowed")
        assert message.endswith("there are: tiny:a")
    take_over(daemon, config(ALL))


# ---- what is kept of prompts ----


def test_blocks_are_found_again_by_the_same_content_and_scale_alone_in_memory_and_on_disk(daemon):
    write_mlx_lm(daemon.directory / "again", LAYERS, seed=1)  # a's content by another name
    write_mlx_lm(daemon.directory / "louder", LAYERS, seed=1, scale=3.0)
    blocks = '[models.tiny.cache.disk]\npath = "{dir}/blocks"\n'
    several = {"a": "a", "b": "b", "again": "again", "louder": "louder"}
    take_over(daemon, config(several) + blocks)
    daemon.wait_disk("tiny")
    long = {"prompt": "of whom it was told, far and wide, that " * 12, "max_tokens": 4}
    names = ["tiny", "tiny:a", "tiny:b", "tiny:louder"]
    assert daemon.admin("/admin/v1/models/tiny/evict", "POST")[0] == 200
    assert [complete(daemon, name, **long)[1] for name in names] == [0] * len(names)
    assert min(complete(daemon, name, **long)[1] for name in [*names, "tiny:again"]) >= 400
    assert daemon.admin("/admin/v1/models/tiny/evict", "POST")[0] == 200
    on_disk = "of 120 blocks 115 are on disk, so 25 of each prompt at least"
    daemon.until(lambda: sum(one["blocks"] for one in daemon.admin("/admin/v1/cache")[1]["directories"][0]["caches"]) >= 115, on_disk)
    before = {name: complete(daemon, name, **long) for name in names}
    assert min(cached for _, cached in before.values()) >= 400
    assert len({text for text, _ in before.values()}) == len(names)
    take_over(daemon, config(ALL))
