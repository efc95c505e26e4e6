"""Real requests with a value replaced or taken out, anywhere in them: read, or refused with the name of a field, and nothing else."""

import random
from itertools import product

import msgspec
import pytest

from mlxd.errors import InvalidRequestError
from tests.support.chat_requests import job
from tests.support.mutations import mutated
from tests.support.recorded_requests import recorded

CHATS = list(recorded("/v1/chat/completions").values())
RICH = {
    "model": "tiny",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": "b"},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "c"}]}, {"type": "refusal", "refusal": "d"}],
            "tool_calls": [{"id": "e", "type": "function", "index": 0, "function": {"name": "f", "arguments": {"g": 1}}}],
            "reasoning_details": [{"type": "reasoning.text", "text": "h"}],
        },
        {"role": "tool", "tool_call_id": "e", "content": [{"type": "text", "text": "i"}]},
        {"role": "function", "name": "f", "content": None},
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}, "prefix": False},
        {"role": "user", "content": "j"},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "high"}},
                {"type": "text", "text": "k"},
                {"type": "input_image", "image_url": "https://cdn.example/a.png"},
                {"type": "video_url", "video_url": {"url": "https://cdn.example/a.mp4", "fps": 2}, "max_frames": 8},
                {"type": "video", "video": ["data:image/png;base64,AAAA", "http://cdn.example/a.png"]},
            ],
        },
    ],
    "tools": [{"type": "function", "strict": True, "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "k", "schema": {"type": "object"}, "strict": True}},
    "structured_outputs": {"json": None, "choice": None},
    "stream": True,
    "stream_options": {"include_usage": True},
    "reasoning": {"effort": "low", "max_tokens": 5, "enabled": True},
    "thinking": {"type": "enabled", "budget_tokens": 5},
    "chat_template_kwargs": {"enable_thinking": True},
    "logit_bias": {"5": 1},
    "logprobs": True,
    "top_logprobs": 2,
    "stop_token_ids": [5],
    "stop": ["l"],
    "n": 2,
}


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_wrong_has_a_name(seed):
    rng = random.Random(seed)  # noqa: S311 - no secret
    bodies = (mutated(body, rng) for body in [*CHATS, *[RICH] * 400])
    outcomes = {(unknown, outcome(body, unknown)) for body in bodies for unknown in ("refuse", "ignore")}
    assert outcomes == {*product(("refuse", "ignore"), ("read", "refused"))}


def outcome(body, unknown):
    try:
        msgspec.msgpack.encode(job(body, unknown=unknown))
    except InvalidRequestError as refused:
        return "refused" if refused.param else f"{refused.message} {body}"
    return "read"
