"""Real requests for responses with a value replaced or taken out, anywhere in them: read, or refused with the name of a field, and nothing
else; and what is read has a response that can be told.
"""

import random
from itertools import product

import msgspec
import pytest

from mlxd.api.responses.answers import ResponseShape
from mlxd.api.responses.request import responses_request
from mlxd.errors import InvalidRequestError
from tests.support.mutations import mutated
from tests.support.recorded_requests import recorded
from tests.unit.api.responses.asking import CITY, custom, function, model

REQUESTS = list(recorded("/v1/responses").values())
RICH = {
    "model": "tiny",
    "instructions": "a",
    "input": [
        {"role": "developer", "content": [{"type": "input_text", "text": "b", "prompt_cache_breakpoint": {"mode": "x"}}]},
        {"type": "message", "role": "user", "content": "c"},
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "d"}], "encrypted_content": "mlxd1.ZA=="},
        {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [{"type": "refusal", "refusal": "e"}]},
        {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "namespace": "ns", "arguments": {"g": 1}},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_text", "text": "h"}, {"type": "input_image", "image_url": "https://cdn.example/a.png"}],
        },
        {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "original"}]},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "i"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "j"},
        {"type": "local_shell_call", "call_id": "c3", "action": {"command": ["ls"]}},
        {"type": "local_shell_call_output", "id": "c3", "output": "k"},
        {"type": "web_search_call", "id": "w", "action": {}},
        {"type": "tool_search_call", "call_id": "c4", "arguments": {"query": "r"}},
        {
            "type": "tool_search_output",
            "call_id": "c4",
            "tools": [function("s"), {"type": "namespace", "name": "t", "tools": [custom("u")]}],
        },
    ],
    "tools": [
        function("f", strict=True),
        custom("patch", format={"type": "grammar", "syntax": "lark", "definition": "start: /a/"}),
        {"type": "namespace", "name": "ns", "description": "l", "tools": [function("f"), custom("n")]},
        {"type": "web_search", "filters": {}},
        {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f", "namespace": "ns"}]},
    "text": {"format": {"type": "json_schema", "name": "m", "schema": CITY, "strict": True}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto", "context": "auto"},
    "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
    "top_logprobs": 2,
    "max_output_tokens": 5,
    "metadata": {"n": "o"},
    "stream": True,
    "stream_options": {"include_obfuscation": False},
    "temperature": 0.5,
    "client_metadata": {"p": "q"},
}


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_wrong_has_a_name(seed):
    rng = random.Random(seed)  # noqa: S311 - no secret
    bodies = (mutated(body, rng) for body in [*REQUESTS, *[RICH] * 250])
    outcomes = {(unknown, outcome(body, unknown)) for body in bodies for unknown in ("refuse", "ignore")}
    assert outcomes == {*product(("refuse", "ignore"), ("read", "refused"))}


def outcome(body, unknown):
    try:
        request = responses_request(body, unknown)
        msgspec.msgpack.encode(request.to_wire("resp_1", model()).all)
        told = ResponseShape("resp_1", model(), request).failure(InvalidRequestError("x"))
        msgspec.json.decode([*told][-1].data)
    except InvalidRequestError as refused:
        return "refused" if refused.param else f"{refused.message} {body}"
    return "read"
