"""Answers with reasoning and calls through the worker's sessions: what deltas and the end say, however many tokens a step gives."""

import asyncio
from types import SimpleNamespace

import pytest

from mlxd.types import FinishReason, Limits, ReasoningShape, SamplingParams, Timings, ToolShape
from mlxd.wire.events import Delta, Finished, Started
from mlxd.wire.jobs import Generate
from mlxd.wire.output_spec import OutputSpec
from mlxd.wire.prompts import TokenPrompt
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.events import Ended, StepOutput
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.sampled import Sampled, SampledToken
from mlxd.worker.sessions import Sessions
from mlxd.worker.text.answers import AnswerReader
from mlxd.worker.text.shapes import Shapes
from mlxd.worker.text.token_kinds import TokenKinds
from tests.unit.worker_text.shapes.case import RULES, told

END = 0x10FFFF
TIMINGS = {"a": Timings(queue=0.0, prefill=0.0, decode=0.0)}
QWEN = Shapes(tools=ToolShape.HERMES, reasoning=ReasoningShape.THINK)
CALL = '<tool_call>{"name": "now", "arguments": {"a": 1}}</tool_call>'
WRITTEN = f"<think>\nhm\n</think>\n\nI look.\n{CALL}"


class Encoder:
    def encode(self, generate, arrived, seen, adapter=None):
        return EngineRequest(generate.id, EncodedPrompt([1], 1000, CacheRoot(model="m")), generate.sampling, arrived=arrived)

    def is_constrained(self, spec):
        return False


def steps(written, size, reason):
    """The engine's events: ``size`` tokens a step, the end token last where the answer ended by itself."""
    ids = [*map(ord, written), *([END] if reason is FinishReason.STOP else [])]
    for at in range(0, len(ids), size):
        group = ids[at : at + size]
        yield Sampled("a", tuple(SampledToken(id=token) for token in group), is_end=group[-1] == END)
    yield Ended("a", reason)


async def play(written, *, reason=FinishReason.STOP, size=1, interval=1, **spec):
    """The last event of an answer, and what all of them say."""
    said = []
    queue = RequestQueue(8, capacity=2)
    reader = AnswerReader(lambda ids: "".join(chr(one) for one in ids if one != END), TokenKinds({END: "<end>"}), QWEN)
    limits = SimpleNamespace(limits=Limits(stream_interval=interval))
    sessions = Sessions(limits, Encoder(), reader, queue, lambda events: said.extend(events.events))
    output = OutputSpec(tools=RULES, **spec)
    sessions.open(Generate(id="a", prompt=TokenPrompt(token_ids=[1]), sampling=SamplingParams(), max_tokens=1000, output=output))
    await asyncio.gather(*sessions._entrance._entering.values())
    for event in [Started(id="a", prompt_tokens=1, cached_tokens=0, cache=None), *steps(written, size, reason)]:
        sessions.deliver(StepOutput([event], timings=TIMINGS))
    sessions.close()
    last = said[-1]
    assert isinstance(last, Finished)
    assert sum(one.tokens for one in said if isinstance(one, Delta | Finished)) == last.usage.completion_tokens
    return last, told([part for one in said if isinstance(one, Delta | Finished) for part in one.parts], last.warnings)


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("interval", [1, 4, 16])
async def test_a_stream_says_the_same_in_steps_of_any_size(size, interval):
    last, found = await play(WRITTEN, size=size, interval=interval)
    assert (found.reasoning, found.content, found.calls) == ("hm", "I look.\n", [("now", '{"a": 1}')])
    assert (last.reason, last.warnings) == (FinishReason.TOOL_CALLS, [])
    assert last.usage.reasoning_tokens == len("<think>\nhm\n</think>")
    assert last.usage.completion_tokens == len(WRITTEN) + 1


async def test_an_answer_without_a_call_ends_for_stop():
    assert (await play("<think>hm</think>No."))[0].reason is FinishReason.STOP


async def test_a_call_that_cannot_be_read_is_content_with_a_warning():
    last, found = await play("<tool_call>now</tool_call>")
    assert (last.reason, found.content, len(last.warnings)) == (FinishReason.STOP, "<tool_call>now</tool_call>", 1)


@pytest.mark.parametrize("size", [1, 5])
async def test_a_call_that_is_cut_off_ends_for_length(size):
    last, found = await play(WRITTEN[:-17], size=size, reason=FinishReason.LENGTH)
    assert (last.reason, found.calls, len(last.warnings)) == (FinishReason.LENGTH, [("now", '{"a"')], 1)


@pytest.mark.parametrize("size", [1, 5, 1000])
async def test_a_stop_string_behind_a_call_ends_for_stop(size):
    last, found = await play(f"{CALL}Done. More.", size=size, stop=["."])
    assert (last.reason, last.matched_stop, found.content, len(found.calls)) == (FinishReason.STOP, ".", "Done", 1)


async def test_a_raw_answer_calls_nothing():
    last, found = await play(WRITTEN, is_raw=True)
    assert (last.reason, found.content, last.usage.reasoning_tokens) == (FinishReason.STOP, WRITTEN, 0)
