"""Streams of ``/v1/responses``, read as OpenAI's SDK does and held to their grammar."""

import json

from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

_EVENT = TypeAdapter(ResponseStreamEvent)
TERMINAL = ("response.completed", "response.incomplete", "response.failed")


def events(text):
    """Returns the events of a stream. Each is of its name's type, has the next number, and is one that OpenAI's SDK knows."""
    found = []
    for block in text.split("\n\n"):
        if block.startswith("event: "):
            name, data = block.split("\n")
            event = json.loads(data.removeprefix("data: "))
            assert event["type"] == name.removeprefix("event: ")
            assert _EVENT.validate_python(event).type == event["type"]
            found.append(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found
