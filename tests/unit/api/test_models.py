"""The list of models, one model, and the health of the listener."""

import msgspec
import pytest

from mlxd.types import Ability, ModelState, ReasoningShape, ToolShape
from mlxd.wire.model_facts import ModelFacts
from tests.support.fake_registry import CREATED
from tests.support.statuses import EMBEDS, RERANKS

CAPABILITIES = {
    "chat": False,
    "tools": None,
    "reasoning": None,
    "structured_output": True,
    "logprobs": True,
    "prompt_logprobs": True,
    "images": True,
    "videos": True,
    "adapters": True,
    "embeddings": False,
    "rerank": False,
    "dimension": None,
    "least_dimension": None,
}


async def get(server, path):
    async with server.session.get(server.url + path) as response:
        return response.status, await response.json()


async def test_list(server):
    server.registry.add("org/big", context_length=512).state = ModelState.LOADING
    status, body = await get(server, "/v1/models")
    assert status == 200
    assert body == {
        "object": "list",
        "data": [
            {
                "id": "tiny",
                "object": "model",
                "created": CREATED,
                "owned_by": "mlxd",
                "root": "tiny",
                "parent": None,
                "state": "ready",
                "aliases": ["small"],
                "context_length": 2048,
                "max_model_len": 2048,
                "tasks": ["generate"],
                "capabilities": CAPABILITIES,
            },
            {
                "id": "small",
                "object": "model",
                "created": CREATED,
                "owned_by": "mlxd",
                "root": "tiny",
                "parent": None,
                "state": "ready",
                "aliases": ["small"],
                "context_length": 2048,
                "max_model_len": 2048,
                "tasks": ["generate"],
                "capabilities": CAPABILITIES,
            },
            {
                "id": "org/big",
                "object": "model",
                "created": CREATED,
                "owned_by": "mlxd",
                "root": "org/big",
                "parent": None,
                "state": "loading",
                "aliases": [],
                "context_length": 512,
                "max_model_len": 512,
                "tasks": None,
                "capabilities": None,
            },
        ],
    }


async def test_what_a_loaded_model_can_do(server):
    facts = ModelFacts(chat_template="chat_template.jinja", tools=ToolShape.HERMES, reasoning=ReasoningShape.THINK)
    server.model.ready = msgspec.structs.replace(server.model.ready, facts=facts, abilities=[Ability.LOGPROBS])
    _, body = await get(server, "/v1/models/small")
    assert body["capabilities"] == CAPABILITIES | {
        "chat": True,
        "tools": "hermes",
        "reasoning": "think",
        "structured_output": False,
        "prompt_logprobs": False,
        "images": False,
        "videos": False,
        "adapters": False,
    }


@pytest.mark.parametrize(("path", "name"), [("tiny", "tiny"), ("small", "tiny"), ("org/big", "org/big"), ("org%2Fbig", "org/big")])
async def test_one(server, path, name):
    server.registry.add("org/big")
    status, body = await get(server, f"/v1/models/{path}")
    assert (status, body["id"]) == (200, name)


@pytest.mark.parametrize("path", ["claude-sonnet-4-5", "claude-sonnet-4-5%5B1m%5D", "claude-sonnet-4-5[1m]", "claude-a%2Fb", "claude-a/b"])
async def test_one_that_a_pattern_matches(server, path):
    server.registry.add("org/big", aliases=["claude-*", "opus"])
    status, body = await get(server, f"/v1/models/{path}")
    assert (status, body["id"], body["aliases"]) == (200, "org/big", ["claude-*", "opus"])


async def test_patterns_are_not_listed(server):
    server.registry.add("org/big", aliases=["claude-*", "opus", "*"])
    _, body = await get(server, "/v1/models")
    assert [entry["id"] for entry in body["data"]] == ["tiny", "small", "org/big", "opus"]


async def test_a_slash_too_many(server):
    assert await get(server, "/v1/models/") == await get(server, "/v1/models")


async def test_unknown(server):
    status, body = await get(server, "/v1/models/org/none")
    assert (status, body["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("states", "status", "word"),
    [
        ([ModelState.READY, ModelState.FAILED], 200, "ok"),
        ([ModelState.LOADING, ModelState.FAILED], 503, "loading"),
        ([ModelState.DRAINING], 503, "draining"),
        ([ModelState.FAILED], 503, "failed"),
        ([], 503, "no models"),
    ],
)
async def test_health(server, states, status, word):
    server.registry.models.clear()
    for number, state in enumerate(states):
        server.registry.add(f"m{number}").state = state
    assert await get(server, "/health") == (status, {"status": word})


@pytest.mark.parametrize("state", [ModelState.STOPPED, ModelState.LOADING, ModelState.DRAINING])
async def test_a_model_that_the_next_request_loads_is_healthy(server, state):
    server.registry.models.clear()
    server.registry.add("m").state = state
    assert (await get(server, "/health"))[0] == 503
    server.registry.models["m"].on_demand = True
    assert await get(server, "/health") == (200, {"status": "ok"})


async def test_head(server):
    async with server.session.head(server.url + "/health") as response:
        assert response.status == 200


async def test_what_a_model_is_for_and_how_long_its_vectors_are(server):
    server.model.ready = EMBEDS
    _, body = await get(server, "/v1/models/tiny")
    assert (body["tasks"], body["max_model_len"]) == (["embed"], 256)
    told = body["capabilities"]
    assert (told["chat"], told["embeddings"], told["rerank"], told["dimension"], told["least_dimension"]) == (False, True, False, 384, 32)
    server.model.ready = RERANKS
    _, body = await get(server, "/v1/models/tiny")
    told = body["capabilities"]
    assert (body["tasks"], told["embeddings"], told["rerank"], told["dimension"]) == (["rerank"], False, True, None)


async def test_a_model_whose_task_is_configured_tells_it_before_it_is_loaded(server):
    server.registry.add("mini", task="embed").state = ModelState.STOPPED
    _, body = await get(server, "/v1/models/mini")
    assert (body["tasks"], body["capabilities"]) == (["embed"], None)


async def test_a_template_of_a_model_that_embeds_makes_no_chat_of_it(server):
    server.model.ready = msgspec.structs.replace(EMBEDS, facts=ModelFacts(chat_template="tokenizer_config.json"))
    _, body = await get(server, "/v1/models/tiny")
    assert body["capabilities"]["chat"] is False
