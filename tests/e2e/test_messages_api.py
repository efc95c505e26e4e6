"""Anthropic's SDK against a real daemon: with a model that says what a script has it say, and with the default model, which is no agent:
grammar makes it call, and answer in the form that was asked for.
"""

from typing import Literal

import anthropic
import pytest
from pydantic import BaseModel

from tests.support.messages_requests import tool
from tests.support.patience import PATIENCE
from tests.support.scripted.script import Rule, call, thought

USER = {"role": "user", "content": "What is the weather in Paris?"}
ASK = {"model": "scripted", "max_tokens": 64000, "messages": [USER], "tools": [tool()]}
THINKING = {"type": "enabled", "budget_tokens": 31999}
ANSWER = thought("Paris. STOP? They want a call.", call("get_weather", "Let me look: STOP here.", city="STOP, Paris"))


class Verdict(BaseModel):
    """Says whether something is so."""

    verdict: Literal["yes", "no", "unknown"]


@pytest.fixture
def client(scripted):
    with anthropic.Anthropic(base_url=scripted.url, api_key="unused", max_retries=0, timeout=PATIENCE) as made:
        yield made


def both_ways(client, **fields):
    """The answer, which is the same whole and streamed."""
    whole = client.messages.create(**ASK | fields)
    with client.messages.stream(**ASK | fields) as events:
        streamed = events.get_final_message()
    told = [answer.to_dict() | {"id": "", "usage": answer.usage.output_tokens} for answer in (whole, streamed)]
    for one in told:
        one.pop("warnings", None)  # of a stream, they are in its last event
        for block in one["content"]:
            block.pop("id", None)
    assert told[1].items() >= told[0].items()
    return whole


def test_thinking_text_and_a_call(scripted, client):
    scripted.say(Rule(says=ANSWER))
    answer = both_ways(client, thinking=THINKING)
    assert [block.type for block in answer.content] == ["thinking", "text", "tool_use"]
    thinking, text, called = answer.content
    assert thinking.thinking.strip() == "Paris. STOP? They want a call."
    assert text.text.strip() == "Let me look: STOP here."
    assert (called.name, called.input, answer.stop_reason) == ("get_weather", {"city": "STOP, Paris"}, "tool_use")


@pytest.mark.parametrize(
    ("says", "stops", "text"),
    [
        ("STOP and go", ["STOP"], ""),
        ("a STOP b", ["b", "STOP"], "a "),
        (thought("STOP", "a STOP b"), ["STOP"], "a "),
        (thought("so", "STOP"), ["nothing", "STOP"], ""),
    ],
)
def test_a_stop_sequence_ends_the_text_and_is_named(scripted, client, says, stops, text):
    scripted.say(Rule(says=says))
    answer = both_ways(client, stop_sequences=stops, thinking=THINKING)
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "STOP")
    assert [block.text.strip() for block in answer.content if block.type == "text"] == [text.strip()]


def test_a_stop_sequence_in_the_input_of_a_call_ends_nothing(scripted, client):
    scripted.say(Rule(says=call("get_weather", city="STOP, Paris")))
    answer = both_ways(client, stop_sequences=["STOP"])
    assert (answer.stop_reason, answer.content[-1].input) == ("tool_use", {"city": "STOP, Paris"})


def test_what_cannot_be_read_as_a_call_is_text(scripted, client):
    scripted.say(Rule(says='a <tool_call>\n{"name": "get_weather", "arguments": {'))
    answer = both_ways(client)
    assert answer.stop_reason == "end_turn"
    assert '<tool_call>\n{"name"' in answer.content[0].text


def test_a_prompt_is_computed_without_an_answer(scripted, client):
    scripted.say(Rule(says="Hello."))
    asked = {"model": "scripted", "messages": [{"role": "user", "content": "Remember this. " * 50}]}
    nothing = client.messages.create(**asked, max_tokens=0)
    assert (nothing.stop_reason, nothing.content[0].text, nothing.usage.output_tokens) == ("max_tokens", "", 0)
    assert client.messages.create(**asked, max_tokens=5).usage.cache_read_input_tokens > nothing.usage.input_tokens - 32


CALLED = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "sunny"}]}
TURNS = [
    USER,
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, CALLED]},
    {"role": "user", "content": [RESULT]},
]


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"system": "x-anthropic-billing-header: cch=1;\n\nBe brief."},
        {"messages": TURNS},
        {"messages": [*TURNS, {"role": "system", "content": "Now <|im_end|> briefly."}], "thinking": THINKING},
        {"messages": [USER, {"role": "assistant", "content": "The weather is"}], "tools": []},
        {"tool_choice": {"type": "none"}, "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
    ],
)
def test_the_tokens_that_are_counted_are_those_of_the_answer_s_input(client, fields):
    asked = ASK | fields
    usage = client.messages.create(**asked).usage
    asked.pop("max_tokens")
    counted = client.messages.count_tokens(**asked).input_tokens
    assert counted == usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens


@pytest.mark.real_model
def test_the_default_model_is_held_to_a_schema_and_to_a_tool(continuous):
    asked = {"model": "smollm2", "max_tokens": 60, "messages": [{"role": "user", "content": "Is Paris in France?"}]}
    with anthropic.Anthropic(base_url=continuous.url, api_key="unused", max_retries=0) as client:
        assert isinstance(client.messages.parse(**asked, output_format=Verdict).parsed_output, Verdict)
        with client.messages.stream(**asked, tools=[tool()], tool_choice={"type": "tool", "name": "get_weather"}) as events:
            answer = events.get_final_message()
        assert [block.type for block in answer.content] == ["tool_use"]
        again = client.messages.count_tokens(model="smollm2", messages=asked["messages"], tools=[tool()])
        assert again.input_tokens == answer.usage.input_tokens + answer.usage.cache_read_input_tokens
