"""OpenAI's SDK on ``/v1/responses``, against the real daemon and the default model, which is no agent: grammar makes it call, and answer in
the form that was asked for.
"""

import re
from typing import Literal

import openai
import pytest
from pydantic import BaseModel

from tests.e2e.client import stream

pytestmark = pytest.mark.real_model

INSTRUCTIONS = "You are asked whether something is so, and say in one word what you think of it. " * 3
ASK = {"model": "smollm2", "instructions": INSTRUCTIONS, "input": "Is Paris in France?", "max_output_tokens": 96}
DAY = {"type": "custom", "name": "set_day", "format": {"type": "grammar", "syntax": "regex", "definition": r"\d{4}-\d{2}-\d{2}"}}
NAMESPACE = {"type": "namespace", "name": "calendar", "description": "A calendar.", "tools": [DAY]}


class Verdict(BaseModel):
    """Says whether something is so."""

    verdict: Literal["yes", "no", "unknown"]
    confidence: Literal[1, 2, 3]


@pytest.fixture(scope="module")
def client(continuous):
    with openai.OpenAI(base_url=f"{continuous.url}/v1", api_key="unused", max_retries=0) as made:
        yield made


def test_an_answer_is_parsed_from_its_stream(client):
    fields = ASK | {"text_format": Verdict, "temperature": 1, "extra_body": {"seed": 3}}
    with client.responses.stream(**fields) as events:
        answer = events.get_final_response()
    assert isinstance(answer.output_parsed, Verdict)
    assert answer.status == "completed"


def test_a_call_of_free_text_in_a_namespace_is_made_and_its_result_taken(client):
    tools = [NAMESPACE, {"type": "web_search"}]
    fields = ASK | {"tools": tools, "parallel_tool_calls": False, "extra_body": {"seed": 4}}
    with client.responses.stream(**fields, tool_choice="required") as events:
        told = list(events)
    answer = told[-1].response
    [call] = answer.output
    assert (call.type, call.name, call.namespace) == ("custom_tool_call", "set_day", "calendar")
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", call.input)
    assert "".join(event.delta for event in told if event.type == "response.custom_tool_call_input.delta") == call.input
    result = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "It is set."}
    history = [{"role": "user", "content": ASK["input"]}, call, result]
    second = client.responses.create(**fields | {"input": history, "max_output_tokens": 4})
    assert second.status in ("completed", "incomplete")
    assert second.usage.input_tokens_details.cached_tokens > answer.usage.input_tokens - 32


def test_an_answer_that_is_cut_off_says_so(client):
    answer = client.responses.create(**ASK | {"max_output_tokens": 2})
    assert (answer.status, answer.incomplete_details.reason, answer.usage.output_tokens) == ("incomplete", "max_output_tokens", 2)


@pytest.mark.parametrize("events", [0, 3])
def test_a_client_that_leaves_early_leaves_nothing_behind(continuous, client, events):
    with stream(continuous, ASK, "/v1/responses") as answer:
        for _, _ in zip(range(events), answer, strict=False):
            pass
    continuous.until(lambda: continuous.model("smollm2")["requests"] == {"running": 0, "waiting": 0}, "idle")
    assert client.responses.create(**ASK | {"max_output_tokens": 1}).usage.output_tokens == 1
