"""Fields about thinking, form, sampling and length; and that every field which Anthropic's SDK knows is known."""

from typing import get_args, get_type_hints

import pytest
from anthropic.types.beta import (
    BetaContentBlock,
    BetaContentBlockParam,
    BetaMessageParam,
    BetaOutputConfigParam,
    BetaThinkingConfigParam,
    BetaToolChoiceParam,
    BetaToolUnionParam,
)
from anthropic.types.beta.beta_tool_result_block_param import Content
from anthropic.types.beta.message_create_params import MessageCreateParamsBase

from mlxd.api.anthropic import blocks, thinking, tools, turns
from mlxd.api.anthropic.messages import MessagesRequest, messages_request
from mlxd.errors import InvalidRequestError, UnknownParameterError, UnsupportedParameterError
from mlxd.wire.output_spec import JsonSchema
from tests.support.messages_requests import SCHEMA, USER, job, read, said

FORMAT = {"type": "json_schema", "schema": SCHEMA}


def thinks(**fields):
    made = job(**fields)
    return made.prompt.reasoning_effort, made.prompt.variables, made.output.thinking_budget


ON = {"enable_thinking": True, "thinking": True}


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({}, ("none", {}, None)),
        ({"thinking": None}, ("none", {}, None)),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, ("none", {}, None)),
        ({"thinking": {"type": "adaptive"}}, (None, {}, None)),
        ({"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "max"}}, ("max", {}, None)),
        ({"thinking": {"type": "enabled", "budget_tokens": 31999}}, (None, ON, 31999)),
        ({"thinking": {"type": "enabled"}}, (None, ON, None)),
    ],
)
def test_how_much_is_thought(fields, asked):
    assert thinks(**fields) == asked


def test_a_turn_may_say_how_much_is_thought_from_there():
    adaptive = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}
    turn = {"role": "system", "output_config": {"effort": "high"}}
    assert thinks(messages=[USER, turn], **adaptive)[0] == "high"
    assert thinks(messages=[USER, turn, {"role": "assistant", "content": "a"}, USER], **adaptive)[0] == "low"
    assert thinks(messages=[USER, turn])[0] == "none"
    assert said(messages=[USER, turn]) == [("user", "hi")]


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"output_config": {"format": FORMAT}}, "output_config.format.schema"), ({"output_format": FORMAT}, "output_format.schema")],
)
def test_the_form_of_the_answer(fields, field):
    assert job(**fields).output.constraint == JsonSchema(field=field, schema=SCHEMA)


def test_a_prompt_may_be_computed_without_an_answer():
    assert job(max_tokens=0).max_tokens == 0


def test_sampling_and_stops():
    made = job(temperature=0.5, top_k=5, top_p=0.9, stop_sequences=["a", "", "\n"], max_tokens=64000.0)
    assert (made.sampling.temperature, made.sampling.top_k, made.sampling.top_p) == (0.5, 5, 0.9)
    assert (made.output.stop, made.max_tokens) == (["a", "\n"], 64000)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "20"}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"top_k": 1.5}, "top_k"),
        ({"stop_sequences": "a"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences[0]"),
        ({"system": 1}, "system"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"stream": "yes"}, "stream"),
        ({"thinking": {"type": "on"}}, "thinking.type"),
        ({"thinking": {"budget_tokens": 5}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": -5}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": "great"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_config": {"format": FORMAT}, "output_format": FORMAT}, "output_format"),
        ({"metadata": "x"}, "metadata"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"messages": [{"role": "system", "output_config": {}}]}, "messages"),
    ],
)
def test_what_is_wrong_is_named(fields, param):
    with pytest.raises(InvalidRequestError) as refused:
        read(**fields)
    assert refused.value.param == param


def test_max_tokens_are_required():
    with pytest.raises(InvalidRequestError, match="max_tokens is required"):
        messages_request({"model": "tiny", "messages": [USER]}, "refuse")


def test_unknown_fields_are_refused_or_left_out():
    with pytest.raises(UnknownParameterError, match="did you mean max_tokens"):
        read(max_token=5)
    assert read("ignore", max_token=5).warnings == ["the field max_token is unknown and was ignored"]


def test_what_is_not_there_says_so():
    with pytest.raises(UnsupportedParameterError, match="mcp_servers is not supported yet"):
        read(mcp_servers=[{}])
    assert read(mcp_servers=[], container=None)


# ---- compaction, and messages that are for one turn ----


def test_what_was_compacted_stands_for_what_came_before():
    compacted = {
        "role": "assistant",
        "content": [{"type": "text", "text": "old"}, {"type": "compaction", "content": "we met"}, {"type": "text", "text": "new"}],
    }
    turns = [{"role": "user", "content": "older"}, compacted, USER]
    assert said(messages=turns) == [("user", "we met"), ("assistant", "new"), ("user", "hi")]
    compacted["content"].pop()
    assert said(messages=turns) == [("user", "we met"), ("user", "hi")]
    assert said(messages=turns[:2]) == [("user", "we met")]
    assert not job(messages=turns[:2]).prompt.continue_final_message
    compacted["content"][1] = {"type": "compaction", "content": None}
    assert said(messages=turns) == [("user", "older"), ("assistant", "old"), ("user", "hi")]


def test_a_system_message_for_one_turn_is_not_shown_in_the_next():
    once = {"role": "system", "content": "now", "clear_at": "next_user_message"}
    assert said(messages=[USER, once]) == [("user", "hi"), ("system", "now")]
    assert said(messages=[USER, once, {"role": "assistant", "content": "a"}, USER]) == [("user", "hi"), ("assistant", "a"), ("user", "hi")]


# ---- what Anthropic's SDK knows ----


def hints(kind):
    """The types of a kind's fields, whether answers or requests have it."""
    fields = getattr(kind, "model_fields", None)
    return get_type_hints(kind) if fields is None else {field.alias or name: field.annotation for name, field in fields.items()}


def literals(kind):
    return [value for value in get_args(hints(kind)["type"]) if isinstance(value, str)]


def fields_of(kind):
    return {field.alias or name for name, field in kind.model_fields.items()} | set(kind.tolerated)


def members(union):
    """The types of a union, of those inside of it too."""
    for one in get_args(union):
        yield from members(one) if get_args(one) else [one] if isinstance(one, type) else []


def test_every_field_of_a_request_is_known():
    assert set(get_type_hints(MessageCreateParamsBase)) <= fields_of(MessagesRequest)


def test_every_block_and_its_fields_are_known():
    for kind in [*members(BetaContentBlockParam), *members(BetaContentBlock), *members(Content)]:
        for name in literals(kind):
            if name not in blocks.LATER:
                assert set(hints(kind)) <= fields_of(blocks.KINDS[name]), name


def test_every_message_is_known():
    of_role = {"user": turns.UserTurn, "assistant": turns.AssistantTurn, "system": turns.SystemTurn}
    for kind in members(BetaMessageParam):
        [role] = get_args(get_type_hints(kind)["role"])
        assert set(get_type_hints(kind)) <= fields_of(of_role[role])


def test_every_way_to_think_and_to_choose_is_known():
    for kind in members(BetaThinkingConfigParam):
        assert set(get_type_hints(kind)) <= fields_of(thinking.Thinking)
        [name] = literals(kind)
        assert read(thinking={"type": name})
    for kind in members(BetaToolChoiceParam):
        assert set(get_type_hints(kind)) <= fields_of(tools.AskedChoice)
    assert set(get_type_hints(BetaOutputConfigParam)) <= fields_of(thinking.OutputConfig)


def test_every_tool_is_read():
    for kind in members(BetaToolUnionParam):
        for name in literals(kind):
            if name != "custom":
                assert read(tools=[{"type": name, "name": "it"}])
