"""Jobs to embed and to score, from their texts to events, over a simulated device."""

import asyncio
import logging
import struct

import pytest

from mlxd.errors import InvalidRequestError
from mlxd.types import FinishReason, Limits, ResolvedLimits, SamplingParams, Task
from mlxd.wire.encoding_facts import EncodingFacts
from mlxd.wire.events import Embedded, Failed, Finished, Scored, Started
from mlxd.wire.jobs import Embed, Generate, Score, TextPair
from mlxd.wire.prompts import TextPrompt, TokenPrompt
from mlxd.worker import encoding_sessions as module
from mlxd.worker.encoded_input import EncodedInput
from mlxd.worker.encoding_requests import EncodingRequests
from mlxd.worker.encoding_sessions import EncodingSessions
from mlxd.worker.engine.encoding.runner import EncodingRunner
from mlxd.worker.engine.engine import Engine
from mlxd.worker.engine.request_queue import RequestQueue
from tests.support.fault_injection import fault_at, passages
from tests.unit.worker_engine.encoding.simulated_encoder import WORKSPACE, SimulatedEncoder

FACTS = EncodingFacts(most_tokens=64, dimension=8, least_dimension=2)


class Inputs:
    """A token for each character."""

    def embed(self, prompt, *, truncate, param, prompt_name=None, most_tokens=None):
        tokens = prompt.token_ids if isinstance(prompt, TokenPrompt) else [ord(one) for one in prompt.text]
        if "!" in getattr(prompt, "text", ""):
            raise InvalidRequestError("it shouts", param=param)
        if "?" in getattr(prompt, "text", ""):
            raise ZeroDivisionError
        return EncodedInput(tokens[:64] if truncate else tokens, prompt=len(prompt_name or ""))

    def pair(self, query, document, *, instruction, truncate, param, most_tokens=None, document_tokens=None):
        return EncodedInput([ord(one) for one in (instruction or "") + query + document], second=len(query))


class Rig:
    def __init__(self, tasks=(Task.EMBED,), facts=FACTS, max_queue=8):
        self.said = []
        self.queue = RequestQueue(max_queue, capacity=4)
        self.encoder = SimulatedEncoder()
        limits = ResolvedLimits.of(Limits(), 0)
        runner = EncodingRunner(self.encoder, WORKSPACE, limits, param="input", clock=lambda: self.encoder.now)
        self.sessions = EncodingSessions(EncodingRequests(Inputs(), facts, tasks), self.queue, self.send)
        self.engine = Engine(runner, self.queue, self.sessions.deliver)

    def send(self, events):
        self.said += events.events

    async def tokenized(self):
        await asyncio.gather(*self.sessions._entrance._entering.values(), return_exceptions=True)

    async def answers(self, *jobs):
        for job in jobs:
            self.sessions.open(job)
        await self.tokenized()
        for _ in range(100):
            self.engine.step()
        self.sessions.close()
        assert not self.sessions._open
        return {job.id: [event for event in self.said if event.id == job.id] for job in jobs}


def embed(name, *texts, **fields):
    return Embed(
        id=name, inputs=[TextPrompt(text=text) if isinstance(text, str) else TokenPrompt(token_ids=text) for text in texts], **fields
    )


def tokens_of(text):
    return [ord(one) for one in text]


async def test_vectors_come_by_their_places_and_the_end_counts_all_tokens():
    texts = [f"text {number}" * (1 + number % 5) for number in range(100)]
    (events,) = (await Rig().answers(embed("a", *texts, [1, 2, 3]))).values()
    assert isinstance(events[0], Started)
    assert events[0].prompt_tokens == sum(map(len, texts)) + 3
    found = {}
    for event in events[1:-1]:
        assert isinstance(event, Embedded)
        found |= dict(zip(event.places, struct.unpack(f"<{len(event.places)}f", event.vectors), strict=True))
    assert found == {**{place: float(sum(tokens_of(text))) for place, text in enumerate(texts)}, 100: 6.0}
    end = events[-1]
    assert isinstance(end, Finished)
    assert (end.parts, end.tokens, end.reason) == ([], 0, FinishReason.STOP)
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (events[0].prompt_tokens, 0)


async def test_scores_come_by_their_places():
    pairs = [TextPair("q", "a" * number) for number in range(1, 20)]
    (events,) = (await Rig([Task.RERANK]).answers(Score(id="a", pairs=pairs, instruction="i"))).values()
    found = {}
    for event in events[1:-1]:
        assert isinstance(event, Scored)
        found |= dict(zip(event.places, event.scores, strict=True))
    assert found == {place: float(sum(tokens_of("iq" + pair.document))) for place, pair in enumerate(pairs)}
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize(
    ("job", "tasks"),
    [
        (Generate(id="a", prompt=TokenPrompt(token_ids=[1]), sampling=SamplingParams(), max_tokens=1), [Task.EMBED]),
        (Score(id="a", pairs=[TextPair("q", "d")]), [Task.EMBED]),
        (embed("a", "text"), [Task.RERANK]),
    ],
)
async def test_a_job_of_another_task_is_refused_by_name(job, tasks):
    (events,) = (await Rig(tasks).answers(job)).values()
    (failed,) = events
    assert (failed.error.code, failed.error.param) == ("unsupported_task", "model")


@pytest.mark.parametrize(
    ("job", "facts", "code", "param"),
    [
        (embed("a"), FACTS, "invalid_request", "input"),
        (embed("a", "fine", "fine", "loud!"), FACTS, "invalid_request", "input[2]"),
        (embed("a", *["fine"] * 100, "loud!"), FACTS, "invalid_request", "input[100]"),
        (embed("a", "fine", "odd?"), FACTS, "generation_failed", None),
        (embed("a", "fine", dimensions=1), FACTS, "invalid_request", "dimensions"),
        (embed("a", "fine", dimensions=9), FACTS, "invalid_request", "dimensions"),
        (embed("a", "fine", dimensions=4), EncodingFacts(most_tokens=64, dimension=8), "unsupported_parameter", "dimensions"),
    ],
)
async def test_what_is_wrong_with_a_job_is_told_and_costs_others_nothing(job, facts, code, param, caplog):
    caplog.set_level(logging.CRITICAL)
    answers = await Rig(facts=facts).answers(job, embed("b", "fine", dimensions=8))
    (failed,) = answers["a"]
    assert (failed.error.code, failed.error.param) == (code, param)
    assert isinstance(answers["b"][-1], Finished)


async def test_of_more_requests_than_may_wait_the_last_is_refused():
    rig = Rig(max_queue=1)
    rig.queue.capacity = 1
    answers = await rig.answers(embed("a", "x"), embed("b", "x"), embed("c", "x"))
    assert isinstance(answers["b"][-1], Finished)
    assert answers["c"][0].error.code == "queue_full"


async def test_an_aborted_request_is_answered_by_nothing_more_and_its_id_can_be_used_again():
    rig = Rig()
    rig.sessions.open(embed("a", *["text"] * 200))
    rig.sessions.abort("a")
    rig.sessions.open(embed("a", "text"))
    await rig.tokenized()
    for _ in range(100):
        rig.engine.step()
    assert [type(event) for event in rig.said] == [Started, Embedded, Finished]
    assert sum(len(batch) for batch in rig.encoder.batches) == 1
    rig.sessions.open(embed("b", *["text" * 10] * 500))
    await rig.tokenized()
    for _ in range(3):
        rig.engine.step()
    rig.sessions.abort("b")
    before = len(rig.said)
    for _ in range(100):
        rig.engine.step()
    assert len(rig.said) == before
    assert (rig.queue.running, rig.queue.waiting) == (0, 0)
    assert not rig.sessions._entrance._entering
    rig.sessions.close()


async def test_a_text_is_tokenized_before_the_rest_of_thousands(monkeypatch):
    rig, order = Rig(), []
    encode = rig.sessions._requests.encode

    def noted(job, start, stop):
        order.append(job.id)
        return encode(job, start, stop)

    monkeypatch.setattr(rig.sessions._requests, "encode", noted)
    await rig.answers(embed("many", *["text"] * 2048), embed("one", "text"))
    assert order.index("one") <= 3


def test_a_fault_at_any_line_leaves_no_request_without_an_answer(caplog):
    caplog.set_level(logging.CRITICAL)

    def play():
        return asyncio.run(answers())

    async def answers():
        return await Rig().answers(embed("a", "text"), embed("b", "text"))

    found = passages([module], play, but=frozenset({"__init__", "open", "close", "deliver", "_try", "_enter", "_entered", "abort"}))
    assert len(found) > 8
    for passage in found:
        with fault_at(passage):
            said = play()
        ends = {name: [type(event) for event in events if isinstance(event, Finished | Failed)] for name, events in said.items()}
        assert {name: len(kinds) for name, kinds in ends.items()} == {"a": 1, "b": 1}, passage
        assert sorted(kind.__name__ for kinds in ends.values() for kind in kinds) == ["Failed", "Finished"], passage
