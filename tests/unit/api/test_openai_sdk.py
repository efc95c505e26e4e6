"""The real OpenAI SDK as a client: synchronous, asynchronous, streaming, and its errors."""

import asyncio
from contextlib import asynccontextmanager

import openai
import pytest

from mlxd.errors import ModelLoadingError, QueueFullError, WorkerLostError
from tests.support.fake_registry import echo
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.usefixtures("few_authorities")

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hello there"}]}


@asynccontextmanager
async def sdk(server, key="k"):
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client:
        yield client


async def test_chat(server):
    server.worker.script = echo
    async with sdk(server) as client:
        answer = await client.chat.completions.create(**CHAT, temperature=0, max_completion_tokens=5, extra_body={"top_k": 3})
    assert answer.choices[0].message.content == "hello there "
    assert answer.choices[0].message.role == "assistant"
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert answer._request_id.startswith("req_")
    assert server.worker.submitted[0].generate.sampling.top_k == 3


async def test_a_conversation_with_the_answer_sent_back(server):
    server.worker.script = echo
    async with sdk(server) as client:
        answer = await client.chat.completions.create(**CHAT)
        history = [*CHAT["messages"], answer.choices[0].message, {"role": "user", "content": "again"}]
        second = await client.chat.completions.create(model="tiny", messages=history)
    assert second.choices[0].message.content == "again "


async def test_chat_stream(server):
    server.worker.script = echo
    async with sdk(server) as client:
        stream = await client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "hello there "
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage.total_tokens == 9


async def test_completions_and_stream(server):
    server.worker.script = echo
    async with sdk(server) as client:
        whole = await client.completions.create(model="tiny", prompt="a b")
        stream = await client.completions.create(model="tiny", prompt="a b", stream=True)
        text = "".join([chunk.choices[0].text async for chunk in stream])
    assert whole.choices[0].text == text == "a b "


async def test_models(server):
    async with sdk(server) as client:
        assert [model.id async for model in await client.models.list()] == ["tiny", "small"]
        assert (await client.models.retrieve("small")).id == "tiny"


async def test_synchronous_client(server):
    server.worker.script = echo

    def ask():
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as client:
            whole = client.chat.completions.create(**CHAT)
            chunks = list(client.chat.completions.create(**CHAT, stream=True))
            return whole.choices[0].message.content, len(chunks)

    assert await asyncio.to_thread(ask) == ("hello there ", 3)


@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        ({"temperature": 3}, openai.BadRequestError, "temperature"),
        ({"model": "nope"}, openai.NotFoundError, "model"),
        ({"n": 0}, openai.BadRequestError, "n"),
        ({"tools": [{"type": "function", "function": {"name": "a tool"}}]}, openai.BadRequestError, "tools[0].function.name"),
    ],
)
async def test_client_errors(server, fields, error, param):
    async with sdk(server) as client:
        with pytest.raises(error) as caught:
            await client.chat.completions.create(**CHAT | fields)
    assert caught.value.param == param


async def test_server_errors(server):
    async with sdk(server) as client:
        server.worker.script = lambda request: request.fail(QueueFullError("full", retry_after=3))
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(**CHAT)
        assert caught.value.code == "queue_full"
        assert caught.value.response.headers["retry-after"] == "3"
        server.model.error = ModelLoadingError("loading", retry_after=1)
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(**CHAT)
        assert (caught.value.status_code, caught.value.code) == (503, "model_loading")


async def test_the_sdk_raises_the_error_event_of_a_broken_stream(server):
    def die(request):
        request.started()
        request.delta("partial")
        request.lose(WorkerLostError("the worker was killed by SIGKILL"))

    server.worker.script = die
    async with sdk(server) as client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        with pytest.raises(openai.APIError, match="killed by SIGKILL"):
            [chunk async for chunk in stream]


async def test_closing_the_sdk_stream_aborts_the_request(server):
    async with sdk(server) as client:
        pending = asyncio.ensure_future(client.chat.completions.create(**CHAT, stream=True))
        request = await server.worker.next_request()
        request.started()
        request.delta("first")
        stream = await pending
        assert (await anext(stream)).choices[0].delta.content == "first"
        await stream.close()
    await asyncio.wait_for(request.aborted.wait(), PATIENCE)


async def test_api_keys(server):
    server.worker.script = echo
    server.set_server(api_keys=("right", "also-right"))
    for key in ("right", "also-right"):
        async with sdk(server, key) as client:
            assert await client.chat.completions.create(**CHAT)
    async with sdk(server, "wrong") as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(**CHAT)
    assert caught.value.code == "invalid_api_key"
    assert server.telemetry.rejections == [("_unknown", "invalid_api_key")]
    assert len(server.telemetry.records) == 2
