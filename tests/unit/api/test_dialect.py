"""A dialect unlike OpenAI's: its own body, named events, its own errors."""

import json
from dataclasses import dataclass

import pytest

from mlxd.api.dialect import Dialect, error_event
from mlxd.api.jobs import fanned_out
from mlxd.api.sse import SseEvent
from mlxd.errors import InvalidRequestError, QueueFullError
from mlxd.types import ChatMessage, SamplingParams
from mlxd.wire.events import Delta, Finished, Started
from mlxd.wire.jobs import Generate
from mlxd.wire.parts import Reasoning, ToolCallArguments, ToolCallBegun, content_of
from mlxd.wire.prompts import ChatPrompt
from tests.support.fake_registry import echo
from tests.support.held_registry import HeldRegistry
from tests.unit.api.conftest import serve


@dataclass
class Whisper:
    """``{"model", "whisper", "live"}``."""

    text: str
    streamed: bool
    inline_media: int = 0

    def to_wire(self, identity, model):
        assert model.name == "tiny"
        prompt = ChatPrompt(messages=[ChatMessage(role="user", content=self.text)])
        return fanned_out(Generate(id=identity, prompt=prompt, sampling=SamplingParams(), max_tokens=5), [prompt], 1)


class WhisperShape:
    def __init__(self, identity, model, request):
        self.id = identity

    def whole(self, answers, usage):
        [answer] = answers
        return json.dumps({"id": self.id, "heard": content_of(answer.parts), "why": answer.end.reason}).encode()

    def on(self, choice, event):
        assert choice == 0
        match event:
            case Started():
                yield SseEvent(b"{}", name="begin")
            case Delta(parts=parts):
                for part in parts:
                    yield SseEvent(json.dumps(type(part).__name__).encode(), name="part")
            case Finished():
                yield SseEvent(b"{}", name="over")

    def alive(self):
        return ()

    def failure(self, error):
        yield SseEvent(json.dumps(self.id[:4]).encode(), name="alas")
        yield error_event(oh, error, "oh")

    def end(self, usage):
        yield SseEvent(json.dumps(usage.completion_tokens).encode(), name="used")


def oh(error):
    return {"oh": error.message}


def read(body, unknown):
    if "whisper" not in body:
        raise InvalidRequestError("whisper is required", param="whisper")
    return Whisper(body["whisper"], body.get("live", False))


WHISPER = Dialect(
    path="/whisper",
    endpoint="whisper",
    answer_prefix="wsp-",
    read=read,
    shape=WhisperShape,
    error=oh,
    early_failure=lambda identity, request, error: [error_event(oh, error, "oh")],
)


@pytest.fixture
async def whispering(monkeypatch):
    monkeypatch.setattr("mlxd.api.app.DIALECTS", (WHISPER,))
    async with serve() as server:
        yield server


def ask(**fields):
    return {"model": "tiny", "whisper": "hello there"} | fields


async def events(server, **fields):
    async with server.post(ask(live=True, **fields), "/whisper") as response:
        assert response.content_type == "text/event-stream"
        text = await response.text()
    return [tuple(line.split(": ", 1)[1] for line in event.split("\n")) for event in text.split("\n\n")[:-1]]


async def test_a_whole_answer_is_in_its_shape(whispering):
    whispering.worker.script = echo
    status, body, _ = await whispering.answer(ask(), "/whisper")
    assert (status, body["heard"], body["why"]) == (200, "hello there ", "stop")
    assert body["id"].startswith("wsp-")
    assert (await whispering.telemetry.next_record()).endpoint == "whisper"


async def test_a_stream_has_its_events_from_beginning_to_end_and_no_other_s_end_mark(whispering):
    whispering.worker.script = echo
    assert await events(whispering) == [("begin", "{}"), ("part", '"Text"'), ("part", '"Text"'), ("over", "{}"), ("used", "2")]


async def test_parts_of_every_kind_reach_the_shape_in_order(whispering):
    parts = [Reasoning(text="so"), ToolCallBegun(index=0, id="c", name="f"), ToolCallArguments(index=0, text="{}")]

    def script(request):
        request.started()
        request.stream.push(Delta(id=request.generate.id, parts=parts, tokens=3))
        request.finish()

    whispering.worker.script = script
    assert [data for name, data in await events(whispering) if name == "part"] == ['"Reasoning"', '"ToolCallBegun"', '"ToolCallArguments"']


async def test_errors_before_and_in_a_stream_are_in_its_shape(whispering):
    assert (await whispering.answer({"model": "tiny"}, "/whisper"))[:2] == (400, {"oh": "whisper is required"})
    assert (await whispering.answer({"model": "none", "whisper": ""}, "/whisper"))[0] == 404

    def script(request):
        request.started()
        request.lose(QueueFullError("full", retry_after=1.0))

    whispering.worker.script = script
    assert (await events(whispering))[-2:] == [("alas", '"wsp-"'), ("oh", '{"oh":"full"}')]


async def test_a_stream_that_fails_before_its_model_is_ready_says_so_itself(whispering):
    whispering.set_server(sse_keepalive=0.01)
    held = HeldRegistry(whispering.registry)
    whispering.model.error = QueueFullError("full", retry_after=1.0)
    async with whispering.post(ask(live=True), "/whisper") as response:
        assert await response.content.readuntil(b"\n\n") == b": keep-alive\n\n"
        held.may_go_on.set()
        told = (await response.content.read()).split(b"\n\n")
    assert told[-2:] == [b'event: oh\ndata: {"oh":"full"}', b""]


async def test_a_refusal_before_the_handler_is_in_its_shape_too(whispering):
    status, body, _ = await whispering.answer(ask(), "/whisper", headers={"Host": "evil.example"})
    assert (status, [*body]) == (403, ["oh"])
