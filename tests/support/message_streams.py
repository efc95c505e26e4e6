"""Streams of Anthropic's API, as its clients read them."""

import json
from collections import defaultdict

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

_EVENT = TypeAdapter(RawMessageStreamEvent)


def events_of(text):
    """The named events of a stream, parsed; each is of the type that its name says."""
    found = []
    for block in text.split("\n\n")[:-1]:
        if block.startswith(":"):
            continue
        name, data = block.split("\n")
        body = json.loads(data.removeprefix("data: "))
        assert name == f"event: {body['type']}"
        found.append(body)
    return found


def checked(events):
    """The events of a stream that did not fail, once their order is found right."""
    assert events[0]["type"] == "message_start"
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    opened, index = None, 0
    for event in events[1:-2]:
        match event["type"]:
            case "ping":
                continue
            case "content_block_start":
                assert opened is None, "a block was opened inside of another one"
                assert event["index"] == index
                opened = event["content_block"]["type"]
                signed = False
            case "content_block_delta":
                assert event["index"] == index
                kind = event["delta"]["type"]
                assert (
                    kind
                    in {"text": ("text_delta",), "thinking": ("thinking_delta", "signature_delta"), "tool_use": ("input_json_delta",)}[
                        opened
                    ]
                )
                assert not signed, "something came behind the signature"
                signed = kind == "signature_delta"
            case "content_block_stop":
                assert event["index"] == index
                assert opened != "thinking" or signed
                opened, index = None, index + 1
            case other:
                raise AssertionError(f"{other} in the middle")
    assert opened is None
    assert index > 0
    return events


def by_sdk(events):
    """The message that the SDK makes of a stream; it reads each event as the type that it has."""
    snapshot, buffers = None, {}
    for event in events:
        if event["type"] != "ping":
            snapshot = accumulate_event(event=_EVENT.validate_python(event), current_snapshot=snapshot, json_bufs=buffers)
    return snapshot


def by_hand(events):
    """The content that plain clients make of a stream."""
    blocks, inputs = [], defaultdict(str)
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            kind, delta = event["delta"]["type"], event["delta"]
            if kind == "input_json_delta":
                inputs[event["index"]] += delta["partial_json"]
            else:
                name = kind.removesuffix("_delta")
                blocks[event["index"]][name] += delta[name]
    return [block | ({"input": json.loads(inputs[index] or "{}")} if "input" in block else {}) for index, block in enumerate(blocks)]


def message(body):
    """A whole answer, read as the SDK's type, every field of which must be right."""
    return Message.model_validate(body)
