"""Streams of ``/v1/responses``, read as OpenAI's SDK does and held to their grammar."""

import json
from itertools import groupby
from typing import get_args

from openai.types.responses import Response, ResponseStreamEvent

# The SDK's type of each event. A list of types gives a list of reasons for what none of them is.
_EVENTS = {get_args(one.model_fields["type"].annotation)[0]: one for one in get_args(get_args(ResponseStreamEvent)[0])}
TERMINAL = ("response.completed", "response.incomplete", "response.failed")

# What stands between the beginning and the end of an item, by its type: how often its deltas come does not matter.
_INSIDE = {
    "message": ["content_part.added", "output_text.delta", "output_text.done", "content_part.done"],
    "function_call": ["function_call_arguments.delta", "function_call_arguments.done"],
    "custom_tool_call": ["custom_tool_call_input.delta", "custom_tool_call_input.done"],
    "reasoning": ["content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done"],
    "tool_search_call": [],
    "summary": [
        *("reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done"),
    ],
}


def events(text):
    """Returns the events of a stream. Each is of its name's type, has the next number, and is one that OpenAI's SDK knows."""
    found = []
    for block in text.split("\n\n"):
        if block.startswith("event: "):
            name, data = block.split("\n")
            event = json.loads(data.removeprefix("data: "))
            assert event["type"] == name.removeprefix("event: ")
            _EVENTS[event["type"]].model_validate(_as_listed(event))
            found.append(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def _as_listed(event):
    """Returns the event with a code of OpenAI's list: this one is not on it, though OpenAI sends it and Codex reads it."""
    text = json.dumps(event).replace('"code": "context_length_exceeded"', '"code": "invalid_prompt"')
    return json.loads(text)


def check_life(found):
    """Holds a stream to its grammar, and returns the response that it ends with."""
    kinds = [event["type"] for event in found]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert [kind in TERMINAL for kind in kinds] == [False] * (len(kinds) - 1) + [True]
    response = found[-1]["response"]
    assert f"response.{response['status']}" == kinds[-1]
    Response.model_validate(_as_listed(response))
    for place, told in groupby(found[2:-1], key=lambda event: event["output_index"]):
        _check_item(list(told), response["output"][place], is_cut=response["status"] == "failed" and place == len(response["output"]) - 1)
    return response


def _check_item(told, item, *, is_cut):
    begun, *inside = told
    assert (begun["type"], begun["item"]["id"], begun["item"]["status"]) == ("response.output_item.added", item["id"], "in_progress")
    ended = inside.pop() if inside and inside[-1]["type"] == "response.output_item.done" else None
    assert {event["item_id"] for event in inside} <= {item["id"]}
    expected = _INSIDE["summary" if item["type"] == "reasoning" and item["summary"] else item["type"]]
    kinds = [kind.removeprefix("response.") for kind, _ in groupby(event["type"] for event in inside)]
    without_deltas = [kind for kind in expected if not kind.endswith("delta")]
    if ended is None:
        assert is_cut
        assert item["status"] == "incomplete"
        assert kinds == expected[: len(kinds)]
    else:
        assert kinds in (expected, without_deltas)
        assert ended["item"] == item
    said = "".join(event["delta"] for event in inside if event["type"].endswith(".delta"))
    assert said == text_of(item)


def text_of(item):
    """Returns all that an item says."""
    match item["type"]:
        case "message":
            return "".join(part["text"] for part in item["content"])
        case "function_call":
            return item["arguments"]
        case "custom_tool_call":
            return item["input"]
        case "tool_search_call":
            return ""
        case "reasoning":
            return "".join(part["text"] for part in item["summary"] or item["content"])
