"""What a chat's answer looks like: the same, whole and put together from its stream, however the worker's events are cut."""

from collections import defaultdict

import pytest
from structlog.testing import capture_logs

from mlxd.types import FinishReason
from mlxd.wire.parts import Reasoning, Text
from tests.support.chat_requests import function
from tests.support.chat_streams import assembled
from tests.support.scripted_answers import CALL_F as A
from tests.support.scripted_answers import CALL_G as B
from tests.support.scripted_answers import script
from tests.unit.api.conftest import HELLO, sse_data

TOOLS = {"tools": [function("f"), function("g")]}
OLD_TOOLS = {"functions": [function("f")["function"], function("g")["function"]]}


async def chunks(server, **fields):
    async with server.post(HELLO | {"stream": True} | fields) as response:
        *found, done = sse_data(await response.text())
    assert done == "[DONE]"
    return found


ANSWERS = {
    "text": ([[Text(text="a")], [Text(text="b"), Text(text="c")]], FinishReason.STOP),
    "nothing": ([[], []], FinishReason.LENGTH),
    "reasoning": ([[Reasoning(text="hm")], [Reasoning(text="m"), Text(text="x")]], FinishReason.STOP),
    "a call": ([[one] for one in A], FinishReason.TOOL_CALLS),
    "a call at once": ([A], FinishReason.TOOL_CALLS),
    "text and two calls": ([[Text(text="So.")], [], A, B], FinishReason.TOOL_CALLS),
    "everything": ([[Reasoning(text="hm")], [Text(text="So."), A[0]], A[1:], B, [Text(text="Done.")]], FinishReason.TOOL_CALLS),
}


@pytest.mark.parametrize(
    "fields", [TOOLS, OLD_TOOLS, TOOLS | {"logprobs": True, "top_logprobs": 1}], ids=["tools", "old names", "logprobs"]
)
@pytest.mark.parametrize(("steps", "reason"), ANSWERS.values(), ids=ANSWERS)
async def test_a_stream_says_what_the_whole_answer_says(server, steps, reason, fields):
    server.worker.script = script(*steps, reason=reason)
    _, whole, _ = await server.answer(HELLO | fields)
    [choice] = whole["choices"]
    message, logprobs, told = assembled(await chunks(server, **fields))
    assert choice["message"] | {"refusal": None} == message | {"refusal": None}
    assert (choice["finish_reason"], (choice["logprobs"] or {"content": []})["content"]) == (told, logprobs)
    assert len(logprobs) == (len(steps) + 1 if "logprobs" in fields else 0)


async def test_a_call_as_openai_streams_it(server):
    server.worker.script = script([A[0]], [A[1]], [A[2]], reason=FinishReason.TOOL_CALLS)
    choices = [chunk["choices"][0] for chunk in await chunks(server, **TOOLS)]
    begun = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "f", "arguments": ""}}
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": None, "tool_calls": [begun]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": " 1}"}}]},
        {},
    ]
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, "tool_calls"]


async def test_a_whole_call(server):
    server.worker.script = script(A, B, reason=FinishReason.TOOL_CALLS)
    _, body, _ = await server.answer(HELLO | TOOLS)
    message = body["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "call_b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


async def test_a_call_by_its_old_name(server):
    server.worker.script = script(A, B, reason=FinishReason.TOOL_CALLS)
    _, body, _ = await server.answer(HELLO | OLD_TOOLS)
    [choice] = body["choices"]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "f", "arguments": '{"a": 1}'},
        "refusal": None,
    }


async def test_log_probabilities(server):
    server.worker.script = script([Text(text="a")])
    _, body, _ = await server.answer(HELLO | {"logprobs": True, "top_logprobs": 1})
    first, last = body["choices"][0]["logprobs"]["content"]
    candidate = {"token": "\ufffd", "logprob": -2.0, "bytes": [0xF0, 0x9F]}
    assert first == {"token": "t0", "logprob": -0.5, "bytes": [116, 48], "top_logprobs": [candidate]}
    assert last["top_logprobs"] == []
    assert server.worker.submitted[0].generate.output.logprobs == 1


@pytest.mark.parametrize(("fields", "wanted"), [({}, None), ({"logprobs": True}, 0), ({"logprobs": True, "top_logprobs": 20}, 20)])
async def test_log_probabilities_are_asked_of_the_worker(server, fields, wanted):
    server.worker.script = script()
    await server.answer(HELLO | fields)
    assert server.worker.submitted[0].generate.output.logprobs == wanted


@pytest.mark.parametrize("fields", [{"include_reasoning": False}, {"reasoning": {"exclude": True}}])
async def test_reasoning_may_be_left_out(server, fields):
    server.worker.script = script([Reasoning(text="hm")], [Text(text="x")], reasoning_tokens=1)
    _, body, _ = await server.answer(HELLO | fields)
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "x", "refusal": None}
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 1
    assert assembled(await chunks(server, **fields))[0] == {"role": "assistant", "content": "x"}


@pytest.mark.parametrize(("end", "told"), [({"matched_stop": "x"}, "x"), ({"matched_token": 7}, 7), ({}, None)])
async def test_what_ended_it(server, end, told):
    server.worker.script = script([Text(text="a")], **end)
    _, body, _ = await server.answer(HELLO)
    last = (await chunks(server))[-1]["choices"][0]
    assert body["choices"][0].get("stop_reason") == last.get("stop_reason") == told


async def test_warnings_are_told_at_the_end(server):
    server.worker.script = script([Text(text="<tool_call>{")], warnings=["a call could not be read"])
    with capture_logs() as logs:
        _, body, _ = await server.answer(HELLO)
    assert [line["warnings"] for line in logs if line["event"] == "request_finished"] == [["a call could not be read"]]
    *before, last = await chunks(server)
    assert body["warnings"] == last["warnings"] == ["a call could not be read"]
    assert not any("warnings" in chunk for chunk in before)


async def test_usage_in_every_chunk(server):
    server.worker.script = script([Text(text="a")], [Text(text="b")])
    options = {"include_usage": True, "continuous_usage_stats": True}
    found = await chunks(server, stream_options=options)
    used = [(chunk["usage"]["prompt_tokens"], chunk["usage"]["completion_tokens"]) for chunk in found]
    assert used == [(7, 1), (7, 2), (7, 2), (7, 2)]
    assert found[-1]["choices"] == []


async def test_choices_are_told_apart(server):
    server.worker.script = script([Text(text="a")], A, reason=FinishReason.TOOL_CALLS)
    _, body, _ = await server.answer(HELLO | TOOLS | {"n": 2})
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    by_choice = defaultdict(list)
    for chunk in await chunks(server, n=2, **TOOLS):
        by_choice[chunk["choices"][0]["index"]].append(chunk)
    assert [assembled(by_choice[index])[0] for index in (0, 1)] == [
        {name: value for name, value in choice["message"].items() if name != "refusal"} for choice in body["choices"]
    ]
