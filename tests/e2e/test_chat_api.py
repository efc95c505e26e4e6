"""OpenAI's SDK with its helpers for tools and parsed answers, against the real daemon and the default model, which is no agent: grammar
makes it call, and answer in the form that was asked for.
"""

import json
from typing import Literal

import openai
import pytest
from pydantic import BaseModel

pytestmark = pytest.mark.real_model

ASK = {"model": "smollm2", "messages": [{"role": "user", "content": "Is Paris in France?"}], "max_tokens": 96}


class Verdict(BaseModel):
    """Says whether something is so."""

    verdict: Literal["yes", "no", "unknown"]
    confidence: Literal[1, 2, 3]


VERDICT = openai.pydantic_function_tool(Verdict)


@pytest.fixture(scope="module")
def client(continuous):
    with openai.OpenAI(base_url=f"{continuous.url}/v1", api_key="unused", max_retries=0) as made:
        yield made


def test_an_answer_is_parsed(client):
    answer = client.chat.completions.parse(**ASK, response_format=Verdict, temperature=1, seed=3)
    assert isinstance(answer.choices[0].message.parsed, Verdict)
    assert answer.choices[0].finish_reason == "stop"


def test_a_required_call_is_made_and_its_result_is_taken(client):
    answer = client.chat.completions.parse(**ASK, tools=[VERDICT], tool_choice="required", parallel_tool_calls=False)
    [choice] = answer.choices
    [call] = choice.message.tool_calls
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert isinstance(call.function.parsed_arguments, Verdict)
    result = {"role": "tool", "tool_call_id": call.id, "content": "It is."}
    second = client.chat.completions.create(
        **ASK | {"messages": [*ASK["messages"], choice.message, result], "max_tokens": 4}, tools=[VERDICT]
    )
    assert second.choices[0].finish_reason in ("length", "stop", "tool_calls")


def test_a_named_call_streams(client):
    named = {"type": "function", "function": {"name": "Verdict"}}
    with client.chat.completions.stream(**ASK, tools=[VERDICT], tool_choice=named, temperature=1, seed=4) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    [call] = final.choices[0].message.tool_calls
    assert Verdict.model_validate_json(call.function.arguments)
    deltas = [event.arguments_delta for event in events if event.type == "tool_calls.function.arguments.delta"]
    assert "".join(deltas) == call.function.arguments


def test_a_parsed_answer_streams_with_log_probabilities_of_every_token(client):
    answer = client.chat.completions.create(
        **ASK | {"max_tokens": 16}, response_format={"type": "json_object"}, logprobs=True, top_logprobs=2, temperature=0, stream=True
    )
    chunks = list(answer)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    tokens = [token for chunk in chunks if chunk.choices[0].logprobs for token in chunk.choices[0].logprobs.content]
    assert text.startswith("{")
    assert bytes(byte for token in tokens for byte in token.bytes).decode().startswith(text)
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)


def test_choices_of_one_prompt(client):
    answer = client.chat.completions.create(**ASK | {"max_tokens": 24}, n=3, response_format=_format(), temperature=1, seed=5)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert all(Verdict.model_validate_json(choice.message.content) for choice in answer.choices if choice.finish_reason == "stop")
    assert answer.usage.prompt_tokens < 100


def test_what_cannot_be_enforced_is_refused_where_it_stands(client):
    schema = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**ASK, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert "response_format.json_schema.schema" in json.dumps(caught.value.body)


def _format():
    schema = Verdict.model_json_schema()
    return {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
