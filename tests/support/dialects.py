"""What each API's answers say, in the same words: so that the answers of all to the same generation can be compared."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.chat_streams import assembled
from tests.support.message_streams import by_hand, checked, events_of
from tests.support.response_streams import check_life, events
from tests.unit.api.conftest import sse_data

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@dataclass
class Told:
    """An answer. ``reason`` is one of OpenAI's; ``used`` are tokens of input, of these cached, of output, of these reasoning."""

    content: str = ""
    reasoning: str = ""
    calls: list = field(default_factory=list)
    reason: str = "stop"
    used: tuple = (0, 0, 0, 0)
    warnings: list = field(default_factory=list)


@dataclass(frozen=True)
class Api:
    """An API: a request for it, and how a whole answer, a stream's end and a stream that failed are read."""

    path: str
    request: dict
    whole: Callable
    stream: Callable
    failure: Callable  # the message of the error that ends a stream

    def body(self, *, streamed):
        return {"model": "tiny", **self.request, **({"stream": True} if streamed else {})}


def _own(identity):
    """What is a call's own in its id: APIs begin them differently."""
    return identity.partition("_")[2]


# ---- chats ----


def _chat(message, reason, usage, warnings):
    return Told(
        content=message.get("content") or "",
        reasoning=message.get("reasoning_content") or "",
        calls=[(_own(call["id"]), call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ())],
        reason=reason,
        used=(
            *(usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]),
            *(usage["completion_tokens"], usage["completion_tokens_details"]["reasoning_tokens"]),
        ),
        warnings=warnings,
    )


def _whole_chat(body):
    [choice] = body["choices"]
    return _chat(choice["message"], choice["finish_reason"], body["usage"], body.get("warnings", []))


def _streamed_chat(text):
    *chunks, last, done = sse_data(text)
    assert done == "[DONE]"
    message, _, reason = assembled(chunks)
    return _chat(message, reason, last["usage"], [warning for chunk in chunks for warning in chunk.get("warnings", ())])


# ---- messages ----

_MESSAGE_REASONS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


def _message(content, end, usage):
    def joined(kind, name):
        return "".join(block[name] for block in content if block["type"] == kind)

    return Told(
        content=joined("text", "text"),
        reasoning=joined("thinking", "thinking"),
        calls=[(_own(block["id"]), block["name"], json.dumps(block["input"])) for block in content if block["type"] == "tool_use"],
        reason=_MESSAGE_REASONS[end["stop_reason"]],
        used=(
            *(usage["input_tokens"] + usage["cache_read_input_tokens"], usage["cache_read_input_tokens"]),
            *(usage["output_tokens"], usage["output_tokens_details"]["thinking_tokens"]),
        ),
        warnings=end.get("warnings", []),
    )


def _streamed_message(text):
    found = checked(events_of(text))
    end = found[-2]
    return _message(by_hand(found), end["delta"] | {"warnings": end.get("warnings", [])}, end["usage"])


# ---- responses ----


def _response(body):
    def joined(kind):
        items = (item for item in body["output"] if item["type"] == kind)
        return "".join(part["text"] for item in items for part in item["content"])

    calls = [(_own(item["call_id"]), item["name"], item["arguments"]) for item in body["output"] if item["type"] == "function_call"]
    usage = body["usage"]
    return Told(
        content=joined("message"),
        reasoning=joined("reasoning"),
        calls=calls,
        reason="length" if body["status"] == "incomplete" else "tool_calls" if calls else "stop",
        used=(
            *(usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"]),
            *(usage["output_tokens"], usage["output_tokens_details"]["reasoning_tokens"]),
        ),
        warnings=body.get("warnings", []),
    )


def _function(name):
    return {"name": name, "parameters": SCHEMA}


APIS = {
    "chat": Api(
        "/v1/chat/completions",
        {
            "messages": [{"role": "user", "content": "hi"}],
            "tools": [{"type": "function", "function": _function(name)} for name in "fg"],
            "stream_options": None,
        },
        _whole_chat,
        _streamed_chat,
        lambda text: sse_data(text)[-1]["error"]["message"],
    ),
    "messages": Api(
        "/v1/messages",
        {
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 20,
            "tools": [{"name": name, "input_schema": SCHEMA} for name in "fg"],
        },
        lambda body: _message(body["content"], body, body["usage"]),
        _streamed_message,
        lambda text: events_of(text)[-1]["error"]["message"],
    ),
    "responses": Api(
        "/v1/responses",
        {"input": "hi", "tools": [{"type": "function", **_function(name)} for name in "fg"]},
        _response,
        lambda text: _response(check_life(events(text))),
        lambda text: check_life(events(text))["error"]["message"],
    ),
}
