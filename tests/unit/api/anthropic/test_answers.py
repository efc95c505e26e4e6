"""What an answer looks like: the same, whole and put together from its stream, however the worker's events are cut."""

import json
from itertools import pairwise
from types import SimpleNamespace

import jiter
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.api.answer import AnswerBuilder
from mlxd.api.anthropic.answers import MessageShape, MessageStyle
from mlxd.api.anthropic.inputs import call_input
from mlxd.config.schema import ModelTable
from mlxd.errors import WorkerLostError
from mlxd.types import CacheOutcome, FinishReason, Usage
from mlxd.wire.events import Delta, Finished, Started
from mlxd.wire.parts import Reasoning, Text, ToolCallArguments, ToolCallBegun
from tests.support.fake_registry import FakeModel
from tests.support.message_streams import by_hand, by_sdk, checked, message
from tests.support.messages_requests import shown
from tests.support.scripted_answers import TIMINGS

MODEL = FakeModel("tiny", ModelTable.model_validate({"source": "org/tiny"}))
A = [ToolCallBegun(index=0, id="call_a", name="f"), ToolCallArguments(index=0, text='{"a":'), ToolCallArguments(index=0, text=" 1}")]
B = [ToolCallBegun(index=1, id="functions.g:1", name="g"), ToolCallArguments(index=1, text="{}")]


def ended(parts=(), reason=FinishReason.STOP, tokens=0, **fields):
    usage = Usage(prompt_tokens=7, completion_tokens=5, cached_tokens=4, reasoning_tokens=2)
    return Finished(id="x", parts=list(parts), tokens=tokens, reason=reason, usage=usage, timings=TIMINGS, **fields)


def shape(*warnings, shows_thinking=True):
    return MessageShape("msg_1", MODEL, MessageStyle(shows_thinking=shows_thinking), warnings)


def streamed(deltas, end, made=None):
    """The events of a stream whose deltas have these parts."""
    made = made or shape()
    told = [Started(id="x", prompt_tokens=7, cached_tokens=4, cache=CacheOutcome.HIT)]
    told += [Delta(id="x", parts=list(parts), tokens=1) for parts in deltas]
    events = [one for event in [*told, end] for one in made.on(0, event)] + [*made.end(end.usage)]
    for one in events:
        assert one.name == json.loads(one.data)["type"]
    return [json.loads(one.data) for one in events]


def whole(deltas, end, made=None):
    builder = AnswerBuilder()
    for parts in deltas:
        builder.take(Delta(id="x", parts=list(parts), tokens=1))
    builder.take(end)
    return json.loads((made or shape()).whole([builder.answer()], end.usage))


def content(*deltas, **end):
    return whole(deltas, ended(**end))["content"]


def types(*deltas, **end):
    return [event["type"] for event in streamed(deltas, ended(**end))]


def test_the_order_of_events():
    assert types([Text(text="a")], [Text(text="b")]) == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_thinking_text_and_calls_are_blocks_of_their_own():
    deltas = [[Reasoning(text="h")], [Reasoning(text="m"), Text(text="I ")], [Text(text="look"), *A[:1]], A[1:], B, [Text(text="!")]]
    events = checked(streamed(deltas, ended(reason=FinishReason.TOOL_CALLS)))
    thinking, *others = by_hand(events)
    assert (thinking["type"], thinking["thinking"]) == ("thinking", "hm")
    assert others == [
        {"type": "text", "text": "I look"},
        {"type": "tool_use", "id": "toolu_a", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "toolu_functions_g_1", "name": "g", "input": {}},
        {"type": "text", "text": "!"},
    ]
    assert content(*deltas) == [thinking, *others]


def test_a_signature_is_the_same_of_the_same_thoughts_only():
    first, again, other = (content([Reasoning(text=text)])[0]["signature"] for text in ("hm", "hm", "ho"))
    assert first == again != other
    assert content([Reasoning(text="h")], [Reasoning(text="m")])[0]["signature"] == first
    assert len(first) > 40


def test_thinking_may_be_left_out_and_its_signature_holds_it():
    deltas = [[Reasoning(text="h")], [Reasoning(text="m")], [Text(text="x")]]
    made = [made(deltas, ended(), shape(shows_thinking=False)) for made in (whole, streamed)]
    assert made[0]["content"] == by_hand(checked(made[1]))
    block, _ = made[0]["content"]
    assert block["thinking"] == ""
    turns = [{"role": "assistant", "content": made[0]["content"]}, {"role": "user", "content": "y"}]
    assert shown(messages=turns)[0][:3] == ("assistant", "x", "hm")
    for signature in ("", "other", block["signature"][:-3], block["signature"] + "?"):
        block["signature"] = signature
        assert shown(messages=turns)[0][2] is None


@pytest.mark.parametrize("deltas", [[], [[]], [[Reasoning(text="hm")]]])
def test_an_answer_that_says_nothing_has_an_empty_text(deltas):
    *_, last = content(*deltas)
    assert last == {"type": "text", "text": ""}
    assert by_hand(checked(streamed(deltas, ended())))[-1] == last


@pytest.mark.parametrize(
    ("end", "reason", "sequence"),
    [
        ({}, "end_turn", None),
        ({"reason": FinishReason.LENGTH}, "max_tokens", None),
        ({"reason": FinishReason.TOOL_CALLS}, "tool_use", None),
        ({"matched_stop": "END"}, "stop_sequence", "END"),
        ({"matched_stop": "END", "reason": FinishReason.TOOL_CALLS}, "tool_use", None),
        ({"matched_token": 7}, "end_turn", None),
    ],
)
def test_why_it_ended(end, reason, sequence):
    told = {"stop_reason": reason, "stop_sequence": sequence}
    assert streamed([[Text(text="a")]], ended(**end))[-2]["delta"] == told
    assert whole([[Text(text="a")]], ended(**end)).items() >= told.items()


def test_usage_tells_of_input_without_what_was_cached():
    events = streamed([[Text(text="a")]], ended())
    known = {"input_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4}
    begun = events[0]["message"]
    assert begun["usage"].items() >= (known | {"output_tokens": 0}).items()
    assert (begun["content"], begun["stop_reason"], begun["stop_sequence"]) == ([], None, None)
    used = events[-2]["usage"]
    assert used.items() >= (known | {"output_tokens": 5, "output_tokens_details": {"thinking_tokens": 2}}).items()
    assert whole([], ended())["usage"] == used


def test_warnings_of_request_and_answer_are_told_at_the_end():
    end = ended(warnings=["b"])
    assert whole([], end, shape("a"))["warnings"] == streamed([], end, shape("a"))[-2]["warnings"] == ["a", "b"]
    assert "warnings" not in whole([], ended())


STARTED = Started(id="x", prompt_tokens=7, cached_tokens=4, cache=CacheOutcome.HIT)


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr("mlxd.api.anthropic.answers.time.monotonic", lambda: now.seconds)
    return now


def slow(clock, made, *deltas):
    """The events of a stream that is silent for minutes before each delta."""
    told = [*made.on(0, STARTED)]
    for parts in deltas:
        for _ in range(3):
            clock.seconds += 100
            told += made.alive()
        told += made.on(0, Delta(id="x", parts=list(parts), tokens=1))
    told += [*made.on(0, ended()), *made.end(ended().usage)]
    return checked([json.loads(one.data) for one in told])


def test_pings_are_enough_for_two_minutes_and_before_the_first_event(clock):
    made = shape()
    clock.seconds = 1000
    assert not [*made.alive()]
    assert [*made.on(0, STARTED)]
    clock.seconds += 119
    assert not [*made.alive()]


@pytest.mark.parametrize("asked", [True, False])
def test_a_long_silence_is_broken_by_deltas_that_say_nothing(clock, asked):
    made = MessageShape("msg_1", MODEL, MessageStyle(asks_for_thinking=asked))
    thought = [[Reasoning(text="hm")]] if asked else []
    told = slow(clock, made, *thought, [Text(text="a")], A, [Text(text="b")])
    kinds = [block["type"] for block in by_hand(told)]
    assert kinds == ["thinking"] * asked + ["text", "tool_use", "text"]
    assert by_hand(told)[asked:] == content([Text(text="a")], A, [Text(text="b")])
    assert len([one for one in told if one.get("delta", {}).get("text") == ""]) >= 1


def test_an_answer_that_does_not_begin_as_expected_has_an_empty_block_before_it(clock):
    made = MessageShape("msg_1", MODEL, MessageStyle(asks_for_thinking=True))
    thinking, text = by_hand(slow(clock, made, [Text(text="a")]))
    assert (thinking["thinking"], text["text"]) == ("", "a")


def test_a_failure_is_an_event():
    [told] = shape().failure(WorkerLostError("gone", retry_after=1.0))
    assert told.name == "error"
    assert json.loads(told.data) == {"type": "error", "error": {"type": "overloaded_error", "message": "gone"}}


# ---- whatever a model says ----

WORDS = st.text(min_size=1, max_size=8)
INPUTS = st.dictionaries(
    WORDS,
    st.recursive(st.none() | st.booleans() | st.integers(-99, 99) | WORDS, lambda inner: st.lists(inner, max_size=3), max_leaves=4),
    max_size=3,
)


@st.composite
def answers(draw):
    """Parts in any order, cut anywhere into deltas; the last call's arguments may be cut off."""
    parts, calls = [], 0
    for kind in draw(st.lists(st.sampled_from("trc"), max_size=6)):
        if kind == "c":
            text = json.dumps(draw(INPUTS), ensure_ascii=draw(st.booleans()))
            parts += [ToolCallBegun(index=calls, id=f"call_{calls}", name=draw(WORDS))]
            parts += [ToolCallArguments(index=calls, text=text[at : at + 3]) for at in range(0, len(text), 3)]
            calls += 1
        else:
            parts += [(Text if kind == "t" else Reasoning)(text=text) for text in draw(st.lists(WORDS, min_size=1, max_size=3))]
    cuts = sorted(draw(st.lists(st.integers(0, len(parts)), max_size=4)))
    bounds = [0, *cuts, len(parts)]
    *deltas, last = [parts[begin:end] for begin, end in pairwise(bounds)]
    return deltas, ended(last, reason=FinishReason.TOOL_CALLS if calls else FinishReason.STOP)


@given(answers())
def test_a_stream_says_what_the_whole_answer_says(answer):
    events = checked(streamed(*answer))
    body = whole(*answer)
    assert by_hand(events) == body["content"]
    assert by_sdk(events).to_dict(exclude_unset=False, mode="json") == message(body).to_dict(exclude_unset=False, mode="json")


@given(INPUTS, st.data())
def test_the_input_of_a_call_that_was_cut_off_is_what_the_sdk_makes_of_it(value, data):
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    cut = text[: data.draw(st.integers(1, len(text)))]
    assert call_input(cut) == jiter.from_json(cut.encode(), partial_mode=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ("{}", {}),
        ("[1]", {"arguments": [1]}),
        ("nonsense", {"arguments": "nonsense"}),
        ('{"a": 1', {"a": 1}),
        ('"x"', {"arguments": "x"}),
    ],
)
def test_the_input_of_a_call_is_an_object_whatever_was_written(text, value):
    assert call_input(text) == value


def test_nothing_is_made_of_a_deep_input():
    deep = '{"a":' * 5000
    assert msgspec.json.encode(call_input(deep))
