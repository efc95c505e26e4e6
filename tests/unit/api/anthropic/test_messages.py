"""``POST /v1/messages`` on a real socket, by Anthropic's SDK and without it."""

import asyncio
import json

import anthropic
import pytest

from mlxd.api.sse import SseWriter
from mlxd.errors import ContextLengthError, ModelLoadingError, QueueFullError, WorkerLostError
from mlxd.types import FinishReason
from mlxd.wire.parts import Reasoning, Text, ToolCallArguments, ToolCallBegun
from tests.support.fake_registry import echo
from tests.support.held_registry import HeldRegistry
from tests.support.message_streams import checked, events_of
from tests.support.messages_requests import USER, body, tool
from tests.support.scripted_answers import script

pytestmark = pytest.mark.usefixtures("few_authorities")

PATH = "/v1/messages"
ASKED = {"model": "tiny", "max_tokens": 20, "messages": [USER]}
CALL = [ToolCallBegun(index=0, id="call_a", name="get_weather"), ToolCallArguments(index=0, text='{"city": "Paris"}')]


@pytest.fixture
async def sdk(server):
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


async def test_a_whole_message(server, sdk):
    server.worker.script = script([Reasoning(text="hm")], [Text(text="I look.")], CALL, reason=FinishReason.TOOL_CALLS, cached_tokens=4)
    answer = await sdk.messages.create(**ASKED, tools=[tool()], thinking={"type": "enabled", "budget_tokens": 1024})
    assert [block.type for block in answer.content] == ["thinking", "text", "tool_use"]
    assert answer.content[2].input == {"city": "Paris"}
    assert (answer.stop_reason, answer.model, answer.role) == ("tool_use", "tiny", "assistant")
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens, answer.usage.output_tokens) == (3, 4, 3)
    assert answer.id.startswith("msg_")
    assert answer._request_id.startswith("req_")
    assert (await server.telemetry.next_record()).endpoint == "messages"


async def test_a_streamed_message(server, sdk):
    server.worker.script = script([Reasoning(text="hm")], [Text(text="I look.")], CALL, reason=FinishReason.TOOL_CALLS)
    whole = await sdk.messages.create(**ASKED, tools=[tool()])
    async with sdk.messages.stream(**ASKED, tools=[tool()]) as stream:
        async for _ in stream:
            pass
        assembled = await stream.get_final_message()
    assert (assembled.to_dict() | {"id": whole.id}).items() >= whole.to_dict().items()
    async with server.post(body(stream=True), PATH) as response:
        checked(events_of(await response.text()))


async def test_what_is_answered_can_be_sent_back(server, sdk):
    server.worker.script = script([Reasoning(text="hm")], CALL, reason=FinishReason.TOOL_CALLS)
    answer = await sdk.messages.create(**ASKED, tools=[tool()])
    results = [{"type": "tool_result", "tool_use_id": answer.content[1].id, "content": "sunny"}]
    turns = [USER, answer.to_param(), {"role": "user", "content": results}]
    await sdk.messages.create(model="tiny", max_tokens=5, messages=turns, tools=[tool()])
    _, called, said = server.worker.submitted[1].generate.prompt.messages
    assert (called.reasoning, called.tool_calls[0].arguments) == ("hm", '{"city":"Paris"}')
    assert (said.role, said.content, said.name, said.tool_call_id) == ("tool", "sunny", "get_weather", called.tool_calls[0].id)


async def test_a_beta_and_its_headers_are_taken(server, sdk):
    server.worker.script = echo
    answer = await sdk.beta.messages.create(**ASKED, betas=["made-up-2031-01-01", "context-management-2025-06-27"])
    assert answer.content[0].text == "hi "


async def test_a_version_need_not_be_named(server):
    server.worker.script = echo
    status, answer, headers = await server.answer(body(), PATH)
    assert (status, answer["type"]) == (200, "message")
    assert headers["request-id"] == headers["x-request-id"]


async def test_a_stream_that_waits_sends_pings(server):
    server.set_server(sse_keepalive=0.01)
    async with server.post(body(stream=True), PATH) as response:
        request = await server.worker.next_request()
        assert await response.content.readuntil(b"\n\n") == b'event: ping\ndata: {"type":"ping"}\n\n'
        script([Text(text="a")])(request)
        events = events_of((await response.content.read()).decode())
    checked([event for event in events if event["type"] != "ping"])


async def test_the_sdk_waits_through_pings(server, sdk, monkeypatch):
    server.set_server(sse_keepalive=0.001)
    held, pinged, keep_alive = HeldRegistry(server.registry), asyncio.Event(), SseWriter.keep_alive

    async def noted(writer, *told):
        await keep_alive(writer, *told)
        pinged.set()

    async def answer():
        await pinged.wait()
        held.may_go_on.set()
        script([Text(text="a")])(await server.worker.next_request())

    monkeypatch.setattr(SseWriter, "keep_alive", noted)
    answering = asyncio.create_task(answer())
    async with sdk.messages.stream(**ASKED) as stream:
        assert (await stream.get_final_message()).content[0].text == "a"
    await answering


async def test_a_stream_that_fails_ends_in_an_error(server, sdk):
    def broken(request):
        request.started()
        request.delta("a")
        request.lose(WorkerLostError("the worker is gone", retry_after=1.0))

    server.worker.script = broken
    async with sdk.messages.stream(**ASKED) as stream:
        with pytest.raises(anthropic.APIStatusError, match="the worker is gone") as failed:
            await stream.get_final_message()
    assert failed.value.body["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize(
    ("error", "kind", "name"),
    [
        (QueueFullError("full", retry_after=2.0), anthropic.RateLimitError, "rate_limit_error"),
        (ModelLoadingError("later", retry_after=2.0), anthropic.InternalServerError, "overloaded_error"),
    ],
)
async def test_what_may_be_tried_again_says_when(server, sdk, error, kind, name):
    server.model.error = error
    with pytest.raises(kind) as refused:
        await sdk.messages.create(**ASKED)
    assert refused.value.response.headers["retry-after"] == "2"
    assert refused.value.body["error"] == {"type": name, "message": error.message}


async def test_it_is_tried_again_by_the_sdk(server, sdk):
    server.worker.script = echo
    server.model.error = ModelLoadingError("later", retry_after=0.01)
    asking = asyncio.create_task(sdk.with_options(max_retries=3).messages.create(**ASKED))
    await server.telemetry.next_record()
    server.model.error = None
    assert (await asking).content[0].text == "hi "


async def test_an_unknown_model_is_not_found(sdk):
    with pytest.raises(anthropic.NotFoundError) as refused:
        await sdk.messages.create(**ASKED | {"model": "claude-opus-9"})
    assert refused.value.body["error"]["type"] == "not_found_error"
    assert refused.value.body["request_id"] == refused.value.request_id


async def test_a_prompt_that_is_too_long_says_so_in_words_that_agents_know(server, sdk):
    def refuse(request):
        request.fail(ContextLengthError("the prompt has 30000 tokens, but the model's context holds 8192, at least one of them"))

    server.worker.script = refuse
    with pytest.raises(anthropic.BadRequestError) as refused:
        await sdk.messages.create(**ASKED)
    assert refused.value.body["error"]["message"] == "prompt is too long: 30000 tokens > 8192 maximum"


async def test_other_errors_in_its_shape(server):
    anthropics = {"anthropic-version": "2023-06-01"}
    plain = {"Content-Type": "text/plain"}
    cases = [
        (server.session.post(server.url + PATH, json={}), 400, "invalid_request_error"),
        (server.session.post(server.url + PATH, data=b"{", headers={"Content-Type": "application/json"}), 400, "invalid_request_error"),
        (server.session.post(server.url + PATH, data=b"{}", headers=plain), 415, "invalid_request_error"),
        (server.session.get(server.url + PATH), 405, "invalid_request_error"),
        (server.post(body(), PATH, headers={"Host": "evil.example"}), 403, "permission_error"),
        (server.post(body(), PATH + "/batches"), 404, "not_found_error"),
        (server.post(body(), "/v1/complete", headers=anthropics), 404, "not_found_error"),
        (server.session.get(server.url + "/v1/models/none", headers=anthropics), 404, "not_found_error"),
    ]
    for asking, status, kind in cases:
        async with asking as response:
            told = await response.json()
        assert (response.status, told["type"], told["error"]["type"]) == (status, "error", kind)
        assert set(told["error"]) == {"type", "message"}
        assert told["request_id"] == response.headers["request-id"]


async def test_a_body_that_is_too_large(server):
    server.set_server(max_body=100)
    async with server.post(body(system="x" * 200), PATH) as response:
        assert (response.status, (await response.json())["error"]["type"]) == (413, "request_too_large")


async def test_other_apis_keep_their_shape(server):
    status, told, headers = await server.answer({"model": "none"}, headers={"anthropic-version": "2023-06-01"})
    assert (status, told["error"]["code"]) == (404, "model_not_found")
    status, told, headers = await server.answer({}, "/v1/nothing")
    assert (status, told["error"]["code"]) == (404, "not_found")
    assert "request-id" not in headers


# ---- counting ----


async def test_tokens_are_counted_of_what_would_be_sent(server, sdk):
    asked = {"messages": [USER], "system": "be brief", "tools": [tool()], "model": "tiny"}
    counted = await sdk.messages.count_tokens(**asked)
    assert counted.input_tokens == len("be briefhi")
    server.worker.script = echo
    await sdk.messages.create(**asked, max_tokens=5)
    assert server.worker.tokenized == [server.worker.submitted[0].generate.prompt]
    assert (await server.telemetry.next_record()).endpoint == "count_tokens"


async def test_the_request_itself_can_be_counted(server):
    for path in (f"{PATH}/count_tokens", f"{PATH}/count_tokens?beta=true"):
        status, counted, _ = await server.answer(body(stream=True, stop_sequences=["x"]), path)
        assert (status, counted) == (200, {"input_tokens": 2})


@pytest.mark.parametrize(("fields", "said"), [({"messages": []}, "messages"), ({"max_tokenz": 1}, "max_tokenz"), ({"tools": 1}, "tools")])
async def test_what_cannot_be_counted_says_why(server, fields, said):
    status, told, _ = await server.answer(body(**fields), f"{PATH}/count_tokens")
    assert (status, told["error"]["type"]) == (400, "invalid_request_error")
    assert said in told["error"]["message"]


async def test_log_content_has_the_prompt(server):
    server.log_content()
    server.worker.script = echo
    status, answer, _ = await server.answer(body(), PATH)
    assert status == 200
    assert json.dumps(answer)
