"""POST /v1/embeddings on a real socket, with a worker that the test plays."""

import asyncio
import base64
import struct

import pytest
from msgspec.structs import replace

from mlxd.config.key_table import KeyTable
from mlxd.control.live_requests import Stage
from mlxd.errors import ContextLengthError, QueueFullError, WorkerLostError
from mlxd.types import ModelState, Task
from mlxd.wire.encoding_facts import EncodingFacts
from mlxd.wire.prompts import TextPrompt, TokenPrompt
from tests.support.fake_registry import echo
from tests.support.patience import PATIENCE
from tests.unit.api.conftest import HELLO

PATH = "/v1/embeddings"
ASKED = {"model": "vectors", "input": ["one", "two", "three"]}
FACTS = EncodingFacts(most_tokens=512, dimension=3, prompts={"query": "query: "})


def vector(place):
    return struct.pack("<3f", place, 0.1, -1e-8)


def encode(request):
    """All of it, the last text first."""
    request.started(cache=None)
    for place in reversed(range(len(request.job.inputs))):
        request.embedded({place: vector(place)})
    request.finish()


@pytest.fixture
def embedding(server):
    model = server.registry.add("vectors", aliases=["text-*"])
    model.ready = replace(model.ready, tasks=(Task.EMBED,), encoding=FACTS)
    model.client.script = encode
    server.embedding = model
    return server


async def test_the_answer(embedding):
    status, body, _ = await embedding.answer(ASKED, PATH)
    assert status == 200
    assert body["object"] == "list"
    assert body["model"] == "vectors"
    assert [(one["object"], one["index"]) for one in body["data"]] == [("embedding", place) for place in range(3)]
    assert [struct.pack("<3f", *one["embedding"]) for one in body["data"]] == [vector(place) for place in range(3)]
    assert body["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


async def test_base64_is_the_same_numbers(embedding):
    _, body, _ = await embedding.answer(ASKED | {"encoding_format": "base64"}, PATH)
    assert [base64.b64decode(one["embedding"]) for one in body["data"]] == [vector(place) for place in range(3)]


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("a text", [TextPrompt(text="a text")]),
        (["a", "b"], [TextPrompt(text="a"), TextPrompt(text="b")]),
        ([1, 2], [TokenPrompt(token_ids=[1, 2])]),
        ([[1, 2], [3]], [TokenPrompt(token_ids=[1, 2]), TokenPrompt(token_ids=[3])]),
    ],
)
async def test_what_is_embedded(embedding, given, inputs):
    assert (await embedding.answer(ASKED | {"input": given}, PATH))[0] == 200
    job = embedding.embedding.client.submitted[0].job
    assert (job.inputs, job.truncate, job.dimensions, job.prompt_name) == (inputs, False, None, None)


async def test_fields_that_the_worker_gets(embedding):
    asked = {"dimensions": 2.0, "truncate": True, "prompt_name": "query", "priority": 4, "user": "me", "drop_params": True}
    assert (await embedding.answer(ASKED | asked, PATH))[0] == 200
    job = embedding.embedding.client.submitted[0].job
    assert (job.dimensions, job.truncate, job.prompt_name, job.priority) == (2, True, "query", 4)


@pytest.mark.parametrize(("tokens", "cut"), [(-1, (True, None)), (9, (True, 9)), (4096, (True, 4096)), (None, (False, None))])
async def test_texts_are_cut_where_vllm_s_field_asks_for_it(embedding, tokens, cut):
    assert (await embedding.answer(ASKED | {"truncate_prompt_tokens": tokens}, PATH))[0] == 200
    job = embedding.embedding.client.submitted[0].job
    assert (job.truncate, job.most_tokens) == cut


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": []}, "input", "invalid_request"),
        ({"input": ""}, "input", "invalid_request"),
        ({"input": None}, "input", "invalid_request"),
        ({"input": ["one", ""]}, "input[1]", "invalid_request"),
        ({"input": ["one", 2]}, "input[1]", "invalid_request"),
        ({"input": [[1], []]}, "input[1]", "invalid_request"),
        ({"input": [[1], [2, -3]]}, "input[1][1]", "invalid_request"),
        ({"input": [1, 2.5]}, "input[1]", "invalid_request"),
        ({"input": ["a"] * 2049}, "input", "invalid_request"),
        ({"encoding_format": "int8"}, "encoding_format", "invalid_request"),
        ({"dimensions": 0}, "dimensions", "invalid_request"),
        ({"prompt_name": "nothing"}, "prompt_name", "invalid_request"),
        ({"input_type": "query"}, "input_type", "unsupported_parameter"),
        ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens", "invalid_request"),
        ({"truncation_side": "left"}, "truncation_side", "unsupported_parameter"),
        ({"colour": 1}, "colour", "unknown_parameter"),
    ],
)
async def test_refusals_name_the_field(embedding, fields, param, code):
    status, body, _ = await embedding.answer(ASKED | fields, PATH)
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, param, code)
    assert embedding.embedding.client.submitted == []


async def test_a_refusal_of_the_worker_s(embedding):
    embedding.embedding.client.script = lambda request: request.fail(ContextLengthError("600 tokens are too many", param="input[2]"))
    status, body, _ = await embedding.answer(ASKED, PATH)
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, "input[2]", "context_length_exceeded")


async def test_a_full_queue_says_when_to_try_again(embedding):
    embedding.embedding.client.script = lambda request: request.fail(QueueFullError("full", retry_after=3))
    status, _, headers = await embedding.answer(ASKED, PATH)
    assert (status, headers["Retry-After"]) == (429, "3")


async def test_a_worker_that_is_lost(embedding):
    embedding.embedding.client.script = lambda request: request.lose(WorkerLostError("gone", retry_after=1))
    assert (await embedding.answer(ASKED, PATH))[0] == 503


@pytest.mark.parametrize("vectors", [{0: vector(0), 1: vector(1)}, {0: vector(0), 7: vector(1)}], ids=["one is missing", "of no text"])
async def test_vectors_that_are_not_of_the_texts_are_no_answer(embedding, vectors):
    def wrong(request):
        request.started(cache=None)
        request.embedded(vectors)
        request.finish()

    embedding.embedding.client.script = wrong
    status, body, _ = await embedding.answer(ASKED, PATH)
    assert (status, body["error"]["code"]) == (500, "generation_failed")


async def test_models_that_do_something_else_are_refused_by_name(embedding):
    status, body, _ = await embedding.answer(ASKED | {"model": "tiny"}, PATH)
    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "unsupported_task", "model")
    assert "vectors" in body["error"]["message"]
    embedding.worker.script = echo
    status, body, _ = await embedding.answer(HELLO | {"model": "vectors"})
    assert (status, body["error"]["code"]) == (400, "unsupported_task")
    assert "tiny" in body["error"]["message"]


async def test_a_model_that_is_not_loaded_may_be_the_one(embedding):
    embedding.registry.add("lazy").state = ModelState.STOPPED
    embedding.embedding.state = ModelState.STOPPED
    _, body, _ = await embedding.answer(ASKED | {"model": "tiny"}, PATH)
    assert body["error"]["message"].endswith("of what is not loaded, vectors or lazy may be one")


async def test_a_refusal_names_no_model_that_the_key_may_not_ask_for(embedding):
    embedding.set_server(keys=[KeyTable(name="chats", key="secret-of-chats", models=("tiny",))])
    status, body, _ = await embedding.answer(ASKED | {"model": "tiny"}, PATH, headers={"Authorization": "Bearer secret-of-chats"})
    assert status == 400
    assert body["error"]["message"].endswith("no model that makes vectors of texts is known here")
    status, body, _ = await embedding.answer(ASKED, PATH, headers={"Authorization": "Bearer secret-of-chats"})
    assert (status, body["error"]["code"]) == (403, "model_not_allowed")


async def test_limits_of_a_key(embedding):
    embedding.set_server(keys=[KeyTable(name="few", key="secret-of-few", tokens_per_minute=10)])
    headers = {"Authorization": "Bearer secret-of-few"}
    statuses = [(await embedding.answer(ASKED, PATH, headers=headers))[0] for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert embedding.embedding.client.submitted[0].job.holder == "few"


async def test_a_client_that_goes_away_aborts_the_job(embedding):
    embedding.embedding.client.script = None
    async with embedding.raw() as (_, writer):
        writer.write(embedding.raw_post(ASKED, PATH))
        request = await embedding.embedding.client.next_request()
        request.started(cache=None)
    await asyncio.wait_for(request.aborted.wait(), PATIENCE)
    record = await embedding.telemetry.next_record()
    assert (record.outcome, record.endpoint) == ("aborted", "embeddings")


async def test_an_operator_sees_it_and_cancels_it(embedding):
    embedding.embedding.client.script = None
    asking = asyncio.ensure_future(embedding.answer(ASKED, PATH))
    request = await embedding.embedding.client.next_request()
    [live] = embedding.requests.of("vectors")
    assert (live.endpoint, live.stage) == ("embeddings", Stage.WAITING)
    embedding.requests.cancel("vectors", live.id)
    status, body, _ = await asking
    assert (status, body["error"]["code"]) == (499, "request_cancelled")
    assert request.aborted.is_set()
    assert embedding.requests.of("vectors") == []


async def test_what_is_recorded(embedding):
    await embedding.answer(ASKED | {"model": "text-embedding-3-small"}, PATH)
    record = await embedding.telemetry.next_record()
    assert (record.model, record.endpoint, record.outcome, record.texts) == ("vectors", "embeddings", "ok", 3)
    assert (record.prompt_tokens, record.completion_tokens, record.time_to_first_token) == (7, 0, None)


async def test_a_large_answer_comes_in_pieces(embedding):
    width = 1024
    embedding.embedding.ready = replace(embedding.embedding.ready, encoding=EncodingFacts(most_tokens=512, dimension=width))

    def wide(request):
        request.started(cache=None)
        for place in range(len(request.job.inputs)):
            request.embedded({place: struct.pack(f"<{width}f", *[place + 0.5] * width)})
        request.finish()

    embedding.embedding.client.script = wide
    async with embedding.post(ASKED | {"input": ["a"] * 100}, PATH) as response:
        assert (response.content_type, response.content_length) == ("application/json", None)
        body = await response.json()
    assert [one["embedding"] for one in body["data"]] == [[place + 0.5] * width for place in range(100)]
