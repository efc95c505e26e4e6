"""Adapters by their names, on a real socket: what a request, a list and a key make of them."""

import msgspec
import pytest
from structlog.testing import capture_logs

from mlxd.adapter_terms import AdapterFigures, AdapterState
from mlxd.config.key_table import KeyTable
from mlxd.types import MemoryFigures, ModelState
from mlxd.wire.messages import Heartbeat
from tests.support.dialects import APIS
from tests.support.fake_registry import echo
from tests.unit.api.conftest import HELLO

SQL = {"source": "org/sql", "aliases": ["coder", "law-*"], "pin": True}
NAMES = {
    "qwen": "",
    "q": "",
    "whatever": "",
    "qwen:sql": "sql",
    "q:sql": "sql",
    "coder": "sql",
    "law-of-the-sea": "sql",
    "qwen:b.c": "b.c",
    "qwen:8b": None,
    "qwen:sq": None,
    "q:": None,
}


@pytest.fixture
def adapted(server):
    """A model with two adapters, beside others, one of which is called as if it were a third."""
    server.registry.add("qwen", aliases=["q", "*"], adapters={"sql": SQL, "b.c": {"source": "org/bc"}})
    server.registry.add("qwen:4b")
    for model in server.registry.models.values():
        model.client.script = echo
    return server


def job_of(server):
    return server.registry.models["qwen"].client.submitted[-1].generate


async def get(server, path, **headers):
    async with server.session.get(server.url + path, headers=headers) as response:
        return response.status, await response.json()


@pytest.mark.parametrize(("name", "adapter"), NAMES.items())
async def test_each_name_is_for_one_adapter_or_none(adapted, name, adapter):
    status, body, _ = await adapted.answer(HELLO | {"model": name})
    if adapter is None:
        assert (status, body["error"]["code"]) == (404, "model_not_found")
    else:
        assert (status, body["model"], job_of(adapted).adapter) == (200, f"qwen:{adapter}" if adapter else "qwen", adapter)


async def test_a_model_whose_name_begins_as_another_s_adapters_do_is_that_model(adapted):
    status, _, _ = await adapted.answer(HELLO | {"model": "qwen:4b"})
    assert (status, adapted.registry.models["qwen:4b"].client.submitted[0].generate.adapter) == (200, "")


@pytest.mark.parametrize("api", APIS.values(), ids=APIS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_every_api_hands_it_on(adapted, api, streamed):
    async with adapted.post(api.body(streamed=streamed) | {"model": "coder"}, api.path) as response:
        assert response.status == 200
        assert '"model":"qwen:sql"' in (await response.text()).replace('": "', '":"')
    assert job_of(adapted).adapter == "sql"


async def test_each_of_several_answers_has_it(adapted):
    status, _, _ = await adapted.answer({"model": "qwen:sql", "prompt": ["a", "b"], "n": 2}, "/v1/completions")
    assert status == 200
    assert [made.generate.adapter for made in adapted.registry.models["qwen"].client.submitted] == ["sql"] * 4


async def test_tokens_are_those_of_the_model(adapted):
    counted = await adapted.answer({"model": "qwen:sql", "messages": HELLO["messages"]}, "/v1/messages/count_tokens")
    assert counted[:2] == (200, {"input_tokens": len("hello there")})
    assert (await adapted.answer({"model": "coder", "prompt": "hi"}, "/tokenize"))[1]["tokens"] == [104, 105]


async def test_a_runner_without_adapters_is_named_before_anything_is_computed(adapted):
    model = adapted.registry.models["qwen"]
    model.ready = msgspec.structs.replace(model.ready, abilities=[])
    status, body, _ = await adapted.answer(HELLO | {"model": "qwen:sql"})
    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "unsupported_parameter", "model")
    assert "simple runner, which has no adapters" in body["error"]["message"]
    assert model.client.submitted == []
    assert (await adapted.answer(HELLO | {"model": "qwen"}))[0] == 200


async def test_what_is_told_of_the_request_names_it(adapted):
    with capture_logs() as logs:
        await adapted.answer(HELLO | {"model": "coder"})
        await adapted.answer(HELLO | {"model": "q"})
    adapters = [record.adapter for record in adapted.telemetry.records]
    assert (adapters, [record.model for record in adapted.telemetry.records]) == (["sql", ""], ["qwen", "qwen"])
    assert [line.get("adapter") for line in logs if line["event"] == "request_finished"] == ["sql", None]


# ---- lists ----


async def test_adapters_are_listed_after_their_model_with_their_names_and_states(adapted):
    model = adapted.registry.models["qwen"]
    beat = Heartbeat(running=0, waiting=0, steps=0, busy_seconds=0, memory=MemoryFigures())
    figures = AdapterFigures(name="sql", state=AdapterState.FAILED, reason="/srv/adapters/sql: lora_b has rank 4")
    model.heartbeat = msgspec.structs.replace(beat, adapters=(figures,))
    _, body = await get(adapted, "/v1/models")
    listed = {entry["id"]: (entry["root"], entry["parent"], entry["state"]) for entry in body["data"] if entry["root"] == "qwen"}
    assert listed == {
        "qwen": ("qwen", None, "ready"),
        "q": ("qwen", None, "ready"),
        "qwen:sql": ("qwen", "qwen", "failed"),
        "coder": ("qwen", "qwen", "failed"),
        "qwen:b.c": ("qwen", "qwen", "unloaded"),
    }
    assert "/srv" not in str(body)


async def test_one_of_a_model_that_is_not_loaded_is_not_loaded_either(adapted):
    adapted.registry.models["qwen"].state = ModelState.STOPPED
    assert (await get(adapted, "/v1/models/qwen:sql"))[1]["state"] == "unloaded"


@pytest.mark.parametrize("name", ["qwen:sql", "q:sql", "coder", "law-of-the-sea"])
async def test_one_adapter_is_shown_by_any_of_its_names(adapted, name):
    status, body = await get(adapted, f"/v1/models/{name}")
    assert (status, body["id"], body["parent"], body["aliases"]) == (200, "qwen:sql", "qwen", ["coder", "law-*"])


async def test_anthropics_clients_see_them(adapted):
    _, body = await get(adapted, "/v1/models", **{"anthropic-version": "2023-06-01"})
    assert [entry["id"] for entry in body["data"]] == ["tiny", "small", "qwen", "q", "qwen:sql", "coder", "qwen:b.c", "qwen:4b"]
    status, body = await get(adapted, "/v1/models/qwen:sql", **{"anthropic-version": "2023-06-01"})
    assert (status, body["id"], body["type"]) == (200, "qwen:sql", "model")


# ---- keys ----


async def listed_by(server, *models):
    server.set_server(keys=(KeyTable(name="agents", key="right", models=models),))
    return [entry["id"] for entry in (await get(server, "/v1/models", **{"x-api-key": "right"}))[1]["data"]]


@pytest.mark.parametrize(
    ("models", "seen"),
    [
        (("qwen",), {"qwen", "q", "qwen:sql", "coder", "qwen:b.c"}),
        (("q",), {"qwen", "q", "qwen:sql", "coder", "qwen:b.c"}),
        (("qwen:sql",), {"qwen:sql", "coder"}),
        (("coder",), {"qwen:sql", "coder"}),
        (("law-of-the-sea",), {"qwen:sql", "coder"}),
        (("*:b.c",), {"qwen:b.c"}),
        (("tiny", "qwen:b.c"), {"tiny", "small", "qwen:b.c"}),
    ],
)
async def test_a_key_is_for_a_model_with_its_adapters_or_for_one_of_these(adapted, models, seen):
    adapted.registry.add("qwen", aliases=["q"], adapters={"sql": SQL, "b.c": {"source": "org/bc"}})
    assert set(await listed_by(adapted, *models)) == seen


async def test_a_key_for_one_adapter_may_ask_for_nothing_else_of_its_model(adapted):
    adapted.set_server(keys=(KeyTable(name="agents", key="right", models=("qwen:sql",)),))
    found = {}
    for name in ("qwen:sql", "coder", "qwen", "qwen:b.c", "qwen:typo", "tiny"):
        status, body, _ = await adapted.answer(HELLO | {"model": name}, headers={"x-api-key": "right"})
        found[name] = status
    assert found == {"qwen:sql": 200, "coder": 200, "qwen": 403, "qwen:b.c": 403, "qwen:typo": 404, "tiny": 403}
    assert body["error"]["message"].endswith("there are: qwen:sql")


async def test_llama_cpps_clients_that_name_no_model_get_the_only_one_though_it_has_adapters(adapted):
    for name in ("tiny", "qwen:4b"):
        del adapted.registry.models[name]
    assert (await adapted.answer({"content": "hi"}, "/tokenize"))[0] == 200
