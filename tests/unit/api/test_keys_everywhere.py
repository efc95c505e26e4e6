"""Every call that the listener describes asks for a key, keeps to its models and its limits, and says so in the shape of its API."""

import pytest
from msgspec.structs import replace

from mlxd.config.key_table import KeyTable
from mlxd.types import Task
from mlxd.wire.jobs import Embed, Generate
from tests.support.error_shapes import check_error
from tests.support.fake_registry import echo

KEY = {"x-api-key": "right"}
MESSAGES = [{"role": "user", "content": "hello"}]
# What each call by POST needs beside "model".
BODIES = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/completions": {"prompt": "hello"},
    "/v1/responses": {"input": "hello"},
    "/v1/responses/input_tokens": {"input": "hello"},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 9},
    "/v1/messages/count_tokens": {"messages": MESSAGES},
    "/v1/embeddings": {"input": "hello"},
    **{path: {"query": "hello", "documents": ["hello"]} for path in ("/v1/rerank", "/rerank", "/v2/rerank")},
    **{path: {"text_1": "hello", "text_2": "hello"} for path in ("/v1/score", "/score")},
    "/tokenize": {"prompt": "hello"},
    "/detokenize": {"tokens": [65]},
}
OF_NO_MODEL = {"/openapi.json", "/health", "/v1/models"}
STORED = "/v1/responses/"  # nothing is, whoever asks
OPEN = {"/health"}


def answer(request):
    if isinstance(request.job, Generate):
        echo(request)
        return
    request.started(cache=None)
    if isinstance(request.job, Embed):
        request.embedded(dict.fromkeys(range(len(request.job.inputs)), bytes(8)))
    else:
        request.scored(dict.fromkeys(range(len(request.job.pairs)), 0.5))
    request.finish()


@pytest.fixture
def keyed(server):
    server.registry.add("other")
    for model in server.registry.models.values():
        model.client.script = answer
        model.ready = replace(model.ready, tasks=tuple(Task))
    limit(server)
    return server


def limit(server, **limits):
    server.set_server(keys=(KeyTable(name="agents", key="right", models=("tiny",), **limits),))


async def ask(server, method, path, model, headers=KEY):
    """(status, parsed body)."""
    body = {"model": model} | BODIES[path] if path in BODIES else None
    url = f"{server.url}{path.replace('{id}', model)}{f'?model={model}' if path == '/tokenizer_info' else ''}"
    async with server.session.request(method, url, json=body, headers=headers) as response:
        return response.status, await response.json()


@pytest.fixture
async def calls(keyed):
    """Every (method, path)."""
    async with keyed.session.get(f"{keyed.url}/openapi.json", headers=KEY) as response:
        paths = (await response.json())["paths"]
    found = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    assert {path for method, path in found if method == "POST" and not path.startswith(STORED)} <= set(BODIES), "one is missing above"
    return found


async def test_each_asks_for_a_key(keyed, calls):
    for method, path in calls:
        status, body = await ask(keyed, method, path, "tiny", headers={})
        assert status == (200 if path in OPEN else 401), path
        if status == 401:
            check_error(body, path, what=path)


async def test_each_answers_of_the_models_of_the_key_alone(keyed, calls):
    for method, path in calls:
        if path in OF_NO_MODEL or (path.startswith(STORED) and path not in BODIES):
            continue
        assert (await ask(keyed, method, path, "tiny"))[0] == 200, path
        status, body = await ask(keyed, method, path, "other")
        assert status == 403, path
        check_error(body, path, what=path)
        assert "other" not in str(await ask(keyed, "GET", "/v1/models", "tiny"))


async def test_each_that_is_posted_is_limited(keyed, calls):
    limit(keyed, requests_per_minute=1)
    for path in [path for method, path in calls if method == "POST" and path in BODIES]:
        keyed.now += 60
        assert [(await ask(keyed, "POST", path, "tiny"))[0] for _ in range(2)] == [200, 429], path
        check_error((await ask(keyed, "POST", path, "tiny"))[1], path, what=path)
