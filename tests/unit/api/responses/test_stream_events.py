"""What a stream says of an answer, and that it is what the whole answer says, however the worker's events are cut."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.api.answer import AnswerBuilder
from mlxd.api.responses.answers import ResponseShape, early_failure
from mlxd.errors import ContextLengthError, QueueFullError, WorkerLostError
from mlxd.types import FinishReason, Timings, Usage
from mlxd.wire.events import Delta, Finished, Started
from mlxd.wire.parts import Reasoning, Text, ToolCallArguments, ToolCallBegun, joined
from tests.support.examples import examples
from tests.support.response_streams import check_life, events, text_of
from tests.support.scripted_answers import CALL_F, script, token
from tests.unit.api.responses.asking import PATH, answer, ask, custom, function, model, read, stream

TOOLS = [function("f"), function("g")]
PATCH = [
    ToolCallBegun(index=0, id="call_p", name="patch"),
    ToolCallArguments(index=0, text='{"input":"a\\n'),
    ToolCallArguments(index=0, text='b"}'),
]


def kinds(found):
    return [event["type"].removeprefix("response.") for event in found]


async def test_a_text(server):
    server.worker.script = script([Text(text="a")], [Text(text="b")])
    found = await stream(server)
    assert kinds(found) == [
        *("created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    response = check_life(found)
    assert response["id"].startswith("resp_")
    [message] = response["output"]
    assert message["id"].startswith("msg_")
    part = {"type": "output_text", "text": "ab", "annotations": [], "logprobs": []}
    assert message == {"type": "message", "id": message["id"], "status": "completed", "role": "assistant", "content": [part]}
    assert response["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 9,
    }
    assert found[0]["response"]["usage"] is None
    assert found[0]["response"]["output"] == []


async def test_reasoning_is_told_as_it_is_or_as_a_summary_where_one_is_asked_for(server):
    server.worker.script = script([Reasoning(text="hm")], [Reasoning(text="m"), Text(text="x")], reasoning_tokens=2)
    found = await stream(server)
    assert kinds(found)[2:8] == [
        *("output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta", "reasoning_text.done"),
        "content_part.done",
    ]
    thought, message = check_life(found)["output"]
    assert (thought["content"], thought["summary"]) == ([{"type": "reasoning_text", "text": "hmm"}], [])
    assert (message["content"][0]["text"], "encrypted_content" in thought) == ("x", False)
    found = await stream(server, reasoning={"summary": "auto"})
    assert kinds(found)[2:8] == [
        *("output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done"),
    ]
    thought = check_life(found)["output"][0]
    assert (thought.get("content"), thought["summary"]) == (None, [{"type": "summary_text", "text": "hmm"}])
    assert check_life(found)["usage"]["output_tokens_details"] == {"reasoning_tokens": 2}


async def test_a_call(server):
    server.worker.script = script(*[[part] for part in CALL_F], reason=FinishReason.TOOL_CALLS)
    found = await stream(server, tools=TOOLS)
    assert kinds(found)[2:] == [
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.delta", "function_call_arguments.done"),
        *("output_item.done", "completed"),
    ]
    [call] = check_life(found)["output"]
    assert call["id"].startswith("fc_")
    told = {"type": "function_call", "status": "completed", "call_id": "call_a", "name": "f", "arguments": '{"a": 1}'}
    assert call == told | {"id": call["id"]}


async def test_a_call_of_a_custom_tool_has_its_input_as_it_is_meant(server):
    server.worker.script = script(*[[part] for part in PATCH], reason=FinishReason.TOOL_CALLS)
    found = await stream(server, tools=[custom("patch")])
    assert kinds(found)[2:] == [
        *("output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.delta", "custom_tool_call_input.done"),
        *("output_item.done", "completed"),
    ]
    [call] = check_life(found)["output"]
    told = {"type": "custom_tool_call", "status": "completed", "call_id": "call_p", "name": "patch", "input": "a\nb"}
    assert call == told | {"id": call["id"]}


@pytest.mark.parametrize("parts", [[Text(text="a")], [Reasoning(text="a")], CALL_F[:2], []], ids=["text", "reasoning", "call", "nothing"])
async def test_an_answer_that_is_cut_off_is_incomplete(server, parts):
    server.worker.script = script(parts, reason=FinishReason.LENGTH)
    response = check_life(await stream(server, tools=TOOLS))
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert response["output"][-1]["status"] == "incomplete"
    assert response["output"][-1]["type"] in ("message", "function_call")


@pytest.mark.parametrize("parts", [[], [Text(text="a")], [Reasoning(text="a")], CALL_F[:2], PATCH[:2]])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WorkerLostError("gone", retry_after=1), "server_error"),
        (ContextLengthError("long"), "context_length_exceeded"),
        (QueueFullError("full"), "rate_limit_exceeded"),
    ],
)
async def test_a_stream_that_fails_ends_with_the_response_so_far(server, parts, error, code):
    server.worker.script = script(parts, error=error)
    response = check_life(await stream(server, tools=[*TOOLS, custom("patch")]))
    assert response["error"] == {"code": code, "message": error.message, "param": None, "type": error.code}
    assert response["status"] == "failed"
    assert len(response["output"]) == bool(parts)
    assert server.telemetry.rejections[-1] == ("tiny", error.code)


async def test_a_deadline_in_the_middle_is_a_failure_too(server):
    server.set_server(request_timeout=0.5)
    server.worker.script = lambda request: (request.started(), request.delta("a"))
    response = check_life(await stream(server))
    assert (response["error"]["type"], response["output"][0]["content"][0]["text"]) == ("request_timeout", "a")


def test_a_stream_that_fails_before_its_model_is_ready_has_a_beginning_too():
    told = early_failure("resp_1", read(), WorkerLostError("gone"))
    response = check_life(events("".join(event.encoded().decode() for event in told)))
    assert (response["id"], response["status"], response["model"]) == ("resp_1", "failed", "tiny")


async def test_silence_is_told_of_in_events_that_clients_wait_for(server):
    server.set_server(sse_keepalive=0.02)
    async with server.post(ask(stream=True), PATH) as response:
        request = await server.worker.next_request()
        begun = [await response.content.readuntil(b"\n\n") for _ in range(4)]  # it waits in the queue
        request.started()
        request.delta("a")
        begun.append(await response.content.readuntil(b"\n\n"))
        request.finish()
        found = events(b"".join([*begun, await response.read()]).decode())
    told = kinds(found)
    assert told[:4] == ["created", "in_progress", "in_progress", "in_progress"]
    assert [kind for kind in told if kind != "in_progress"] == [
        *("created", "output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done"),
        *("output_item.done", "completed"),
    ]


async def test_logprobs_are_those_of_the_text(server):
    server.worker.script = script([Reasoning(text="a")], [], [Text(text="b")], [], [Text(text="c")])
    fields = {"include": ["message.output_text.logprobs"], "top_logprobs": 1}
    found = await stream(server, **fields)
    told = [entry["token"] for event in found if event["type"] == "response.output_text.delta" for entry in event["logprobs"]]
    assert told == ["t2", "t3", "t4", "t5"]
    [_, message] = check_life(found)["output"]
    assert message["content"][0]["logprobs"][0] == {
        "token": "t2",
        "logprob": -0.5,
        "bytes": [116, 50],
        "top_logprobs": [{"token": "\ufffd", "logprob": -2.0, "bytes": [240, 159]}],
    }
    whole = await answer(server, **fields)
    assert [entry["token"] for entry in whole["output"][1]["content"][0]["logprobs"]] == told


# ---- every answer ----

_TEXTS = st.text(st.sampled_from('ab"\\{}\n é😀'), min_size=1, max_size=4)
_BLOCKS = st.one_of(
    st.lists(_TEXTS.map(lambda text: Text(text=text)), min_size=1, max_size=3),
    st.lists(_TEXTS.map(lambda text: Reasoning(text=text)), min_size=1, max_size=3),
    st.tuples(st.sampled_from(["f", "g", "patch", "ns__f", "unheard_of"]), st.lists(_TEXTS, max_size=3)),
)


@st.composite
def answers(draw):
    """Draws the parts of an answer, each in the event that says it, and its end."""
    parts, calls = [], 0
    for block in draw(st.lists(_BLOCKS, max_size=5)):
        if isinstance(block, list):
            parts += block
            continue
        name, texts = block
        parts.append(ToolCallBegun(index=calls, id=f"call_{calls}", name=name))
        parts += [ToolCallArguments(index=calls, text=text) for text in texts]
        calls += 1
    cuts = sorted(draw(st.lists(st.integers(0, len(parts)), max_size=4)))
    steps = [parts[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(parts)], strict=True)]
    return steps, draw(st.sampled_from(list(FinishReason)))


def told_of(steps, reason):
    usage, timings = Usage(prompt_tokens=1, completion_tokens=len(steps)), Timings(queue=0, prefill=0, decode=0)
    yield Started(id="1", prompt_tokens=1, cached_tokens=0, cache=None)
    for number, parts in enumerate(steps[:-1]):
        yield Delta(id="1", parts=parts, tokens=1, logprobs=[token(number)])
    yield Finished(id="1", parts=steps[-1], tokens=1, reason=reason, usage=usage, timings=timings, warnings=["w"])


TOOLS_OF_ALL_KINDS = [*TOOLS, custom("patch"), {"type": "namespace", "name": "ns", "tools": [function("f")]}]


@given(answers(), st.sampled_from([{}, {"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"]}]))
@settings(deadline=None, max_examples=examples(32))
def test_every_stream_is_well_formed_and_says_what_the_whole_answer_says(scripted, fields):
    (steps, reason), request = scripted, read(tools=TOOLS_OF_ALL_KINDS, **fields)
    shape, building = ResponseShape("resp_1", model(), request), AnswerBuilder()
    sent = []
    for event in told_of(steps, reason):
        building.take(event)
        sent += shape.on(0, event)
    usage = Usage(prompt_tokens=1, completion_tokens=len(steps))
    sent += shape.end(usage)
    streamed = check_life(events("".join(event.encoded().decode() for event in sent)))
    whole = msgspec.json.decode(ResponseShape("resp_1", model(), request).whole([building.answer()], usage))
    times = ("created_at", "completed_at")
    assert {name: value for name, value in whole.items() if name not in times} == {
        name: value for name, value in streamed.items() if name not in times
    }
    said = joined([part for parts in steps for part in parts])
    for kind, part_type in (("message", Text), ("reasoning", Reasoning)):
        expected = "".join(part.text for part in said if isinstance(part, part_type))
        assert "".join(text_of(item) for item in whole["output"] if item["type"] == kind) == expected
    calls = [item for item in whole["output"] if item["type"].endswith("_call")]
    assert [call["call_id"] for call in calls] == [part.id for part in said if isinstance(part, ToolCallBegun)]
