"""One generation, told by every API: whole and streamed it is the same answer, the same reason, the same usage."""

import pytest

from mlxd.errors import WorkerLostError
from mlxd.types import FinishReason
from mlxd.wire.parts import Reasoning, Text
from tests.support.dialects import APIS, Told
from tests.support.scripted_answers import CALL_F, CALL_G, script

F, G = ("a", "f", '{"a": 1}'), ("b", "g", "{}")
LOST = "a call could not be read, and is text"

# What the worker says, and what every API makes of it.
GENERATIONS = {
    "text": (script([Text(text="a")], [Text(text="b")]), Told(content="ab", used=(7, 0, 2, 0))),
    "nothing": (script([], []), Told(used=(7, 0, 2, 0))),
    "reasoning": (
        script([Reasoning(text="hm")], [Reasoning(text="m"), Text(text="x")], reasoning_tokens=1, cached_tokens=4),
        Told(content="x", reasoning="hmm", used=(7, 4, 2, 1)),
    ),
    "only reasoning": (
        script([Reasoning(text="hm")], reason=FinishReason.LENGTH, reasoning_tokens=1),
        Told(reasoning="hm", reason="length", used=(7, 0, 1, 1)),
    ),
    "a call": (
        script(*[[part] for part in CALL_F], reason=FinishReason.TOOL_CALLS),
        Told(calls=[F], reason="tool_calls", used=(7, 0, 3, 0)),
    ),
    "several calls": (
        script([Reasoning(text="hm")], [Text(text="So.")], CALL_F, CALL_G, reason=FinishReason.TOOL_CALLS),
        Told(content="So.", reasoning="hm", calls=[F, G], reason="tool_calls", used=(7, 0, 4, 0)),
    ),
    "a call that is none": (
        script([Text(text='<tool_call>{"name": ')], at_end=[Text(text="x")], warnings=[LOST]),
        Told(content='<tool_call>{"name": x', used=(7, 0, 1, 0), warnings=[LOST]),
    ),
    "a stop string": (script([Text(text="a")], matched_stop="b"), Told(content="a", used=(7, 0, 1, 0))),
    "cut off": (script([Text(text="a")], reason=FinishReason.LENGTH), Told(content="a", reason="length", used=(7, 0, 1, 0))),
    "everything at the end": (
        script(at_end=[Reasoning(text="hm"), Text(text="So."), *CALL_F, *CALL_G], reason=FinishReason.TOOL_CALLS),
        Told(content="So.", reasoning="hm", calls=[F, G], reason="tool_calls", used=(7, 0, 0, 0)),
    ),
}


@pytest.mark.parametrize("api", APIS.values(), ids=APIS)
@pytest.mark.parametrize(("generation", "told"), GENERATIONS.values(), ids=GENERATIONS)
async def test_every_api_tells_the_same(server, api, generation, told):
    server.worker.script = generation
    status, body, _ = await server.answer(api.body(streamed=False), api.path)
    assert status == 200, body
    assert api.whole(body) == told
    async with server.post(api.body(streamed=True) | _with_usage(api), api.path) as response:
        assert response.status == 200
        assert api.stream(await response.text()) == told


@pytest.mark.parametrize("api", APIS.values(), ids=APIS)
@pytest.mark.parametrize("said", [[], [Text(text="a")], [Reasoning(text="a")], CALL_F[:2]], ids=["nothing", "text", "reasoning", "call"])
async def test_every_api_says_that_a_generation_failed(server, api, said):
    server.worker.script = script(said, error=WorkerLostError("the worker is gone", retry_after=2))
    status, body, headers = await server.answer(api.body(streamed=False), api.path)
    assert (status, body["error"]["message"], headers["Retry-After"]) == (503, "the worker is gone", "2")
    async with server.post(api.body(streamed=True), api.path) as response:
        assert response.status == 200
        assert api.failure(await response.text()) == "the worker is gone"
    assert {record.outcome for record in server.telemetry.records} == {"error"}


def _with_usage(api):
    return {"stream_options": {"include_usage": True}} if "stream_options" in api.request else {}
