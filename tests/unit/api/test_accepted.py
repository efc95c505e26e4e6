"""What clients send that asks for nothing, or for what is done anyway: it is no reason for a refusal."""

import json

import pytest

from tests.support.fake_registry import echo
from tests.unit.api.conftest import HELLO

USER = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "hello"}
EPHEMERAL = {"type": "ephemeral", "ttl": "1h"}


def after(**fields):
    """A conversation in which an answer comes back with these fields."""
    return {"messages": [USER, ANSWER | fields, USER]}


BODIES = [
    {"user": "me"},
    {"metadata": {"trace": "1"}},
    {"safety_identifier": "x", "prompt_cache_key": "y", "prompt_cache_retention": "24h", "service_tier": "flex"},
    {"cache_control": EPHEMERAL},
    {"messages": [USER | {"cache_control": EPHEMERAL}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": EPHEMERAL}]}]},
    {"n": 1.0, "best_of": 1, "tools": [], "store": False, "logprobs": False, "parallel_tool_calls": True},
    {"max_tokens": 8.0, "seed": 5.0, "top_k": 40.0, "priority": 0.0},
    {"max_tokens": -1},
    {"max_tokens": 0},
    {"max_completion_tokens": -1, "max_tokens": -1},
    {"top_p": 0},
    {"stop": ""},
    {"stream_options": {}},
    {"stream_options": {"include_usage": None}},
    {"reasoning_effort": "", "response_format": {}, "tools": None, "tool_choice": None, "chat_template_kwargs": {}},
    {"store": True, "prediction": {"type": "content", "content": "x"}, "keep_alive": "5m", "cache_prompt": True},
    {"typical_p": 1, "mirostat": 0, "dry_multiplier": 0.0, "dry_base": 1.75, "grammar": ""},
    {"stop": ["", ""]},
    {"stop": [f"x{n}" for n in range(64)]},
    {"logit_bias": {str(n): 1 for n in range(1000)}},
    after(reasoning_content=""),
    after(reasoning_content="so"),
    after(reasoning="so", reasoning_details=[{"type": "text"}], thinking_blocks=[]),
    after(provider_specific_fields={}, annotations=[], audio=None, function_call=None, tool_calls=None),
    after(provider_specific_fields=None, refusal="", id="msg_1", prefix=False),
    after(content=None),
    after(content=[]),
    {"messages": [USER, {"role": "assistant"}, USER]},
]


@pytest.mark.parametrize("fields", BODIES, ids=[json.dumps(body)[:60] for body in BODIES])
async def test_it_is_answered(server, fields):
    server.worker.script = echo
    status, body, _ = await server.answer(HELLO | fields)
    assert status == 200, body


async def test_an_empty_suffix_of_a_completion(server):
    server.worker.script = echo
    status, _, _ = await server.answer({"model": "tiny", "prompt": "hi", "suffix": "", "max_tokens": -1}, "/v1/completions")
    assert status == 200


async def submitted(server, fields):
    server.worker.script = echo
    assert (await server.answer(HELLO | fields))[0] == 200
    return server.worker.submitted[-1]


async def test_an_empty_answer_comes_back_as_one(server):
    request = await submitted(server, {"messages": [USER, {"role": "assistant", "content": None}, USER]})
    assert [message.content for message in request.generate.prompt.messages] == ["hi", "", "hi"]


async def test_no_probability_at_all_leaves_the_most_likely_token(server):
    sampling = (await submitted(server, {"top_p": 0})).generate.sampling
    assert (sampling.top_k, sampling.top_p) == (1, 1.0)


@pytest.mark.parametrize("limit", [0, -1])
async def test_no_limit_is_the_model_s_own(server, limit):
    assert (await submitted(server, {"max_tokens": limit})).generate.max_tokens is None


async def test_empty_stop_strings_are_left_out(server):
    assert (await submitted(server, {"stop": ["", "a"]})).generate.output.stop == ["a"]
