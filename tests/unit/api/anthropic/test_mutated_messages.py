"""Real requests with a value replaced or taken out, anywhere in them: read, or refused with the name of a field, and nothing else."""

import random
from itertools import product

import msgspec
import pytest

from mlxd.api.anthropic.messages import messages_request
from mlxd.config.schema import ModelTable
from mlxd.errors import InvalidRequestError
from tests.support.fake_registry import FakeModel
from tests.support.mutations import mutated
from tests.support.recorded_requests import recorded

MODEL = FakeModel("tiny", ModelTable.model_validate({"source": "org/tiny"}))
MESSAGES = [body for client, body in recorded("/v1/messages").items() if "claude-code" not in client]
TEXT = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}, "citations": []}
SEARCH = {"type": "search_result", "source": "b", "title": "c", "content": [TEXT]}
DOCUMENT = {"type": "document", "source": {"type": "content", "content": [TEXT]}, "title": "d", "context": "e"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}, "transformations": {}}
LINKED = {"type": "image", "source": {"type": "url", "url": "https://cdn.example/a.png"}}
FILM = {"type": "video", "source": {"type": "url", "url": "https://cdn.example/a.mp4"}, "fps": 2, "max_frames": 8}
SEEN = {"type": "document", "source": {"type": "content", "content": [TEXT, IMAGE]}}
RICH = {
    "model": "tiny",
    "max_tokens": 64000,
    "system": [TEXT, TEXT],
    "messages": [
        {"role": "user", "content": [TEXT, SEARCH, DOCUMENT, {"type": "document", "source": {"type": "text", "data": "f"}}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "g", "signature": "h"},
                {"type": "redacted_thinking", "data": "i"},
                TEXT,
                {"type": "tool_use", "id": "j", "name": "k", "input": {"l": [1]}, "caller": {"type": "direct"}},
                {"type": "server_tool_use", "id": "m", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "tool_use_id": "m", "content": [{"type": "web_search_result", "url": "n"}]},
                {"type": "compaction", "content": "o"},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "j", "content": [TEXT, SEARCH, IMAGE], "is_error": True}]},
        {"role": "user", "content": [IMAGE, TEXT, LINKED, FILM, SEEN]},
        {"role": "system", "content": [TEXT]},
        {"role": "assistant", "content": "p"},
    ],
    "tools": [
        {"name": "k", "description": "q", "input_schema": {"type": "object"}, "strict": True, "input_examples": [{"l": 1}]},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
    ],
    "tool_choice": {"type": "tool", "name": "k", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"},
    "output_config": {"effort": "max", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "metadata": {"user_id": "r"},
    "stop_sequences": ["s"],
    "temperature": 1,
    "top_k": 5,
    "stream": True,
}


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_wrong_has_a_name(seed):
    rng = random.Random(seed)  # noqa: S311 - no secret
    bodies = (mutated(body, rng) for body in [*MESSAGES * 10, *[RICH] * 500])
    outcomes = {(unknown, outcome(body, unknown)) for body in bodies for unknown in ("refuse", "ignore")}
    assert outcomes == {*product(("refuse", "ignore"), ("read", "refused"))}


def outcome(body, unknown):
    try:
        msgspec.msgpack.encode(messages_request(body, unknown).to_wire("msg_1", MODEL).all[0])
    except InvalidRequestError as refused:
        return "refused" if refused.param else f"{refused.message} {body}"
    return "read"
