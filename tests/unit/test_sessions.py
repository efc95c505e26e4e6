"""The text of one request may fail at any line of ``sessions.py``: it gets one answer, and so does everybody else."""

import asyncio
import logging
from types import SimpleNamespace

import pytest

from mlxd.types import FinishReason, Limits, SamplingParams, Timings
from mlxd.wire.events import Failed, Finished, Started
from mlxd.wire.jobs import Generate
from mlxd.wire.output_spec import OutputSpec
from mlxd.wire.prompts import TokenPrompt
from mlxd.worker import sessions as module
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.events import Ended, StepOutput
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.sampled import Sampled, SampledToken
from mlxd.worker.sessions import Sessions
from mlxd.worker.text.answers import AnswerReader
from tests.support.fault_injection import fault_at, passages

NAMES = ("a", "b")
TIMINGS = Timings(queue=0.0, prefill=0.0, decode=0.0)


class Encoder:
    def encode(self, generate, arrived, seen, adapter=None):
        return EngineRequest(generate.id, EncodedPrompt([1], 4, CacheRoot(model="m")), generate.sampling, arrived=arrived)

    def is_constrained(self, spec):
        return False


async def play(decode=lambda tokens: "x" * len(tokens), **fields):
    """Two requests beside each other, from ``Generate`` to their ends; what was said to each."""
    queue, said = RequestQueue(8, capacity=2), {name: [] for name in NAMES}

    def send(events):
        for event in events.events:
            said[event.id].append(event)

    sessions = Sessions(SimpleNamespace(limits=Limits()), Encoder(), AnswerReader(decode), queue, send)
    for name in NAMES:
        sessions.open(Generate(id=name, prompt=TokenPrompt(token_ids=[1]), sampling=SamplingParams(), **{"max_tokens": 4} | fields))
    await asyncio.gather(*sessions._entrance._entering.values())
    arrived = [request.id for request in queue.arrivals()]
    tokens = 0 if fields.get("max_tokens") == 0 else 3
    deliver = [
        [Started(id=name, prompt_tokens=1, cached_tokens=0, cache=None) for name in arrived],
        *([Sampled(name, (SampledToken(id=7),), is_end=False) for name in arrived] for _ in range(tokens)),
        [Ended(name, FinishReason.LENGTH) for name in arrived],
    ]
    for events in deliver:
        sessions.deliver(StepOutput(events, timings=dict.fromkeys(arrived, TIMINGS)))
    sessions.close()
    assert not sessions._open
    return said


def answers(events):
    return [event for event in events if isinstance(event, Finished | Failed)]


def test_a_fault_at_any_line_leaves_no_request_without_an_answer(caplog):
    caplog.set_level(logging.CRITICAL)
    found = passages([module], lambda: asyncio.run(play()), but=frozenset({"__init__", "open", "close", "deliver", "_try", "_enter"}))
    assert len(found) > 20
    for passage in found:
        with fault_at(passage):
            said = asyncio.run(play())
        assert [len(answers(said[name])) for name in NAMES] == [1, 1], passage
        assert sum(isinstance(one, Failed) for name in NAMES for one in said[name]) == 1, passage


def test_of_no_tokens_nothing_is_told_but_the_prompt():
    said = asyncio.run(play(max_tokens=0, output=OutputSpec(echo=True)))
    for name in NAMES:
        _, echo, finished = said[name]
        assert (echo.text, finished.parts, finished.tokens, finished.reason) == ("x", [], 0, FinishReason.LENGTH)
        assert (finished.usage.prompt_tokens, finished.usage.completion_tokens) == (1, 0)


@pytest.mark.parametrize("when", [1, 3])
def test_a_detokenizer_that_raises_ends_its_own_request(when, caplog):
    calls = []

    def decode(tokens):
        calls.append(tokens)
        if len(calls) == when:
            raise ValueError("no such token")
        return "x" * len(tokens)

    caplog.set_level(logging.CRITICAL)
    said = asyncio.run(play(decode))
    (failed,) = [name for name in NAMES if isinstance(said[name][-1], Failed)]
    assert "no such token" in said[failed][-1].error.message
    (other,) = [name for name in NAMES if name != failed]
    assert isinstance(said[other][-1], Finished)
    assert len(answers(said[failed])) == len(answers(said[other])) == 1
