"""The real OpenAI SDK as a client of ``/v1/responses``: its accumulator of streams, its parsers, and its errors."""

from contextlib import asynccontextmanager

import openai
import pytest
from pydantic import BaseModel

from mlxd.errors import ContextLengthError, QueueFullError, WorkerLostError
from mlxd.types import FinishReason
from mlxd.wire.parts import Reasoning, Text, ToolCallArguments, ToolCallBegun
from tests.support.fake_registry import echo
from tests.support.held_registry import HeldRegistry
from tests.support.scripted_answers import CALL_F, CALL_G, script
from tests.unit.api.responses.asking import custom, function

pytestmark = pytest.mark.usefixtures("few_authorities")

ASKED = {"model": "tiny", "input": "hello there"}
ANSWERS = {
    "text": ([[Text(text="a")], [Text(text="b")]], FinishReason.STOP),
    "nothing": ([[], []], FinishReason.STOP),
    "reasoning": ([[Reasoning(text="hm")], [Text(text="x")]], FinishReason.STOP),
    "two calls": ([CALL_F[:1], CALL_F[1:], CALL_G], FinishReason.TOOL_CALLS),
    "everything": (
        [[Reasoning(text="hm"), Text(text="So.")], CALL_F, [Text(text="and")], CALL_G, [Text(text="Done.")]],
        FinishReason.TOOL_CALLS,
    ),
    "free text": (
        [[ToolCallBegun(index=0, id="c", name="patch"), ToolCallArguments(index=0, text='{"input": "a"}')]],
        FinishReason.TOOL_CALLS,
    ),
}


class City(BaseModel):
    city: str


@asynccontextmanager
async def sdk(server):
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("reasoning", [{}, {"summary": "auto"}], ids=["as it is", "summary"])
@pytest.mark.parametrize(("steps", "reason"), ANSWERS.values(), ids=ANSWERS)
async def test_its_accumulator_takes_every_stream(server, steps, reason, reasoning):
    server.worker.script = script(*steps, reason=reason)
    fields = ASKED | {"tools": [function("f"), function("g"), custom("patch")], "reasoning": reasoning}
    async with sdk(server) as client:
        whole = await client.responses.create(**fields)
        async with client.responses.stream(**fields) as stream:
            kinds = [event.type async for event in stream]
            streamed = await stream.get_final_response()
    assert streamed.output_text == whole.output_text
    assert [item.type for item in streamed.output] == [item.type for item in whole.output]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


async def test_a_stream_of_raw_events(server):
    server.worker.script = echo
    async with sdk(server) as client:
        stream = await client.responses.create(**ASKED, stream=True)
        text = "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])
    assert text == "hello there "


async def test_structured_output_and_arguments_are_parsed(server):
    server.worker.script = script([Text(text='{"city": "Oslo"}')])
    async with sdk(server) as client:
        parsed = await client.responses.parse(**ASKED, text_format=City)
        async with client.responses.stream(**ASKED, text_format=City) as stream:
            streamed = await stream.get_final_response()
        assert parsed.output_parsed == streamed.output_parsed == City(city="Oslo")
        arguments = ToolCallArguments(index=0, text='{"city": "Oslo"}')
        server.worker.script = script([ToolCallBegun(index=0, id="c", name="City"), arguments], reason=FinishReason.TOOL_CALLS)
        called = await client.responses.parse(**ASKED, tools=[openai.pydantic_function_tool(City)])
    assert called.output[0].parsed_arguments == City(city="Oslo")
    assert server.worker.submitted[-1].generate.output.tools.tools[0].strict


async def test_an_answer_goes_back_as_it_came(server):
    server.worker.script = script([Reasoning(text="hm"), Text(text="So.")], CALL_F, reason=FinishReason.TOOL_CALLS)
    async with sdk(server) as client:
        first = await client.responses.create(**ASKED, tools=[function("f")], include=["reasoning.encrypted_content"])
        result = {"type": "function_call_output", "call_id": "call_a", "output": "1"}
        await client.responses.create(model="tiny", input=[{"role": "user", "content": "a"}, *first.output, result], tools=[function("f")])
    roles = [(message.role, message.content, message.reasoning) for message in server.worker.submitted[-1].generate.prompt.messages]
    assert roles == [("user", "a", None), ("assistant", "So.", "hm"), ("tool", "1", None)]


async def test_errors_have_their_classes(server):
    async with sdk(server) as client:
        with pytest.raises(openai.NotFoundError):
            await client.responses.create(model="nobody", input="a")
        with pytest.raises(openai.BadRequestError, match="previous_response_id"):
            await client.responses.create(**ASKED, previous_response_id="resp_1")
        with pytest.raises(openai.NotFoundError, match="stored"):
            await client.responses.retrieve("resp_1")
        with pytest.raises(openai.NotFoundError, match="stored"):
            await client.responses.cancel("resp_1")
        server.worker.script = lambda request: request.fail(QueueFullError("full", retry_after=1))
        with pytest.raises(openai.RateLimitError):
            await client.responses.create(**ASKED, stream=True)
        server.worker.script = lambda request: request.fail(ContextLengthError("too long"))
        with pytest.raises(openai.BadRequestError, match="too long"):
            await client.responses.create(**ASKED)


async def test_a_stream_that_fails_says_so_in_its_last_event(server):
    server.worker.script = script([Text(text="a")], error=WorkerLostError("gone"))
    async with sdk(server) as client, client.responses.stream(**ASKED) as stream:
        last = [event async for event in stream][-1]
    assert (last.type, last.response.status, last.response.error.message) == ("response.failed", "failed", "gone")
    assert last.response.output_text == "a"


async def test_a_stream_that_fails_while_its_model_loads_says_so_too(server):
    server.set_server(sse_keepalive=0.01)
    held = HeldRegistry(server.registry)
    server.model.error = QueueFullError("full")
    async with sdk(server) as client, client.responses.stream(**ASKED) as stream:
        held.may_go_on.set()
        events = [event async for event in stream]
    assert [event.type for event in events] == ["response.created", "response.in_progress", "response.failed"]
    assert events[-1].response.error.code == "rate_limit_exceeded"
