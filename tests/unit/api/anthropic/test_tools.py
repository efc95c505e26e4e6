"""What an answer may call."""

import json

import pytest

from mlxd.errors import InvalidRequestError
from mlxd.types import Ability
from mlxd.wire.output_spec import ToolRules
from tests.support.messages_requests import SCHEMA, USER, job, read, said, tool
from tests.unit.api.anthropic.conftest import model

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3, "user_location": {"type": "approximate"}}


def names(**fields):
    return [one["function"]["name"] for one in job(**fields).prompt.tools]


def rules(**fields) -> ToolRules:
    return job(**fields).output.tools


def test_a_tool_is_shown_as_templates_know_functions():
    offered = tool(
        description="Weather.", type="custom", cache_control={"type": "ephemeral"}, defer_loading=False, eager_input_streaming=None
    )
    [shown] = job(tools=[offered]).prompt.tools
    assert shown == {"type": "function", "function": {"name": "get_weather", "description": "Weather.", "parameters": SCHEMA}}


def test_examples_are_told_with_the_description():
    [shown] = job(tools=[tool(description="Weather.", input_examples=[{"city": "Oslo"}])]).prompt.tools
    assert shown["function"]["description"] == 'Weather.\n\nExample: {"city":"Oslo"}'


@pytest.mark.parametrize("kind", ["bash_20250124", "text_editor_20250728", "text_editor_20250124", "memory_20250818"])
def test_what_clients_carry_out_by_a_known_schema_is_offered(kind):
    [shown] = job(tools=[{"type": kind, "name": "it"}]).prompt.tools
    assert shown["function"]["name"] == "it"
    assert "command" in shown["function"]["parameters"]["properties"]


@pytest.mark.parametrize(
    "kind", ["computer_20251124", "code_execution_20260521", "mcp_toolset", "advisor_20260301", "bash_", "made_up_20310101"]
)
def test_what_a_client_does_not_carry_out_is_left_out_and_told(kind):
    asked = {"tools": [tool(), {"type": kind, "name": "it", "display_width_px": 1}]}
    assert names(**asked) == ["get_weather"]
    assert read(**asked).unmet_wishes(model()) == ["the tool it is nothing that a client carries out; it was not offered"]


def test_a_tool_of_a_new_kind_with_a_schema_is_offered():
    assert names(tools=[tool(type="custom_20310101")]) == ["get_weather"]


@pytest.mark.parametrize(
    ("choice", "required", "parallel", "callable_names"),
    [
        (None, False, True, ["a", "b"]),
        ({"type": "auto"}, False, True, ["a", "b"]),
        ({"type": "auto", "disable_parallel_tool_use": True}, False, False, ["a", "b"]),
        ({"type": "any"}, True, True, ["a", "b"]),
        ({"type": "any", "disable_parallel_tool_use": True}, True, False, ["a", "b"]),
        ({"type": "tool", "name": "b"}, True, False, ["b"]),
    ],
)
def test_choices(choice, required, parallel, callable_names):
    found = rules(tools=[tool("a"), tool("b")], tool_choice=choice)
    assert (found.required, found.parallel, [one.name for one in found.tools]) == (required, parallel, callable_names)


def test_none_shows_nothing():
    made = job(tools=[tool()], tool_choice={"type": "none"})
    assert (made.prompt.tools, made.output.tools) == ([], None)


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "auto"}, {"type": "none"}])
def test_without_tools_a_choice_asks_nothing(choice):
    assert rules(tool_choice=choice) is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": ["x"]}, "tools[0]"),
        ({"tools": [{}]}, "tools[0].name"),
        ({"tools": [{"name": "a"}]}, "tools[0].input_schema"),
        ({"tools": [tool("no spaces")]}, "tools[0].name"),
        ({"tools": [tool(input_schema="x")]}, "tools[0].input_schema"),
        ({"tools": [tool(input_schema={"type": "array"})]}, "tools[0].input_schema.type"),
        ({"tools": [tool(hue=1)]}, "tools[0].hue"),
        ({"tools": [{"type": 7}]}, "tools[0].type"),
        ({"tools": [tool(), tool()]}, "tools[1].name"),
        ({"tools": [tool()], "tool_choice": "auto"}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": {"type": "required"}}, "tool_choice.type"),
        ({"tools": [tool()], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tools": [tool()], "tool_choice": {"type": "tool", "name": "other"}}, "tool_choice"),
        ({"tools": [SEARCH], "tool_choice": {"type": "tool", "name": "web_search"}}, "tool_choice"),
    ],
)
def test_what_is_wrong_is_named(fields, param):
    with pytest.raises(InvalidRequestError) as refused:
        read(**fields)
    assert refused.value.param == param


def test_strict_is_a_wish_where_nothing_can_be_enforced():
    asked = {"tools": [tool(strict=True)], "thinking": {"type": "enabled", "budget_tokens": 1024}}
    assert rules(**asked).tools[0].strict
    without = model(abilities=[ability for ability in Ability if ability is not Ability.CONSTRAINTS])
    assert not rules(model=without, **asked).tools[0].strict
    assert job(model=without, **asked).output.thinking_budget is None
    assert read(**asked).unmet_wishes(without) == [
        "tools.strict is not enforced on the simple runner",
        "thinking.budget_tokens is not enforced on the simple runner",
    ]


# ---- changes on the way ----


def change(kind, **fields):
    return {"role": "system", "content": [{"type": kind, "tool": fields}]}


def told(name):
    definition = {"name": name, "description": "", "parameters": SCHEMA}
    return f"<functions>\n<function>{json.dumps(definition, separators=(',', ':'))}</function>\n</functions>"


def test_a_tool_that_is_defined_on_the_way_is_told_of_there_and_callable():
    turns = [USER, change("tool_addition", type="tool_definition", definition=tool("b"))]
    asked = {"messages": turns, "tools": [tool("a")]}
    assert names(**asked) == ["a"]
    assert [one.name for one in rules(**asked).tools] == ["a", "b"]
    assert said(**asked) == [("user", "hi"), ("system", told("b"))]


def test_a_deferred_tool_is_told_of_where_a_search_finds_it():
    deferred = [tool("search"), tool("b", defer_loading=True), tool("c", defer_loading=True)]
    assert names(tools=deferred) == ["search"]
    assert [one.name for one in rules(tools=deferred).tools] == ["search"]
    call = {"type": "tool_use", "id": "1", "name": "search", "input": {}}
    found = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "tool_reference", "tool_name": "b"}]}
    asked = {"tools": deferred, "messages": [USER, {"role": "assistant", "content": [call]}, {"role": "user", "content": [found]}]}
    assert names(**asked) == ["search"]
    assert [one.name for one in rules(**asked).tools] == ["search", "b"]
    assert said(**asked)[-1] == ("tool", told("b"))
    added = {"tools": deferred, "messages": [USER, change("tool_addition", type="tool_reference", name="c")]}
    assert said(**added)[-1] == ("system", told("c"))


@pytest.mark.parametrize("others", [[], [{"type": "tool_search_tool_bm25_20251119", "name": "search"}, tool("a")]])
def test_deferred_tools_are_shown_where_no_client_looks_for_them(others):
    assert "b" in names(tools=[*others, tool("b", defer_loading=True)])


def test_a_tool_that_is_taken_away_is_shown_and_not_callable_until_it_comes_back():
    turns = [USER, change("tool_removal", type="tool_reference", name="b")]
    asked = {"tools": [tool("a"), tool("b")]}
    assert names(messages=turns, **asked) == ["a", "b"]
    assert [one.name for one in rules(messages=turns, **asked).tools] == ["a"]
    assert said(messages=turns, **asked)[-1] == ("system", "The tool b may not be called any more.")
    again = [*turns, change("tool_addition", type="tool_reference", name="b")]
    assert [one.name for one in rules(messages=again, **asked).tools] == ["a", "b"]


def test_changes_of_tools_that_a_provider_has_change_nothing():
    changes = [
        change("tool_removal", type="mcp_toolset_reference", server_name="s"),
        change("tool_addition", type="tool_definition", definition=SEARCH),
    ]
    assert names(messages=[USER, *changes], tools=[tool("a")]) == ["a"]


@pytest.mark.parametrize(
    ("tool_fields", "field"),
    [({"type": "tool_reference"}, "name"), ({"type": "tool_definition"}, "definition"), ({"type": "x"}, "type"), ({}, "type")],
)
def test_a_change_says_of_what(tool_fields, field):
    with pytest.raises(InvalidRequestError) as refused:
        read(messages=[USER, change("tool_addition", **tool_fields)])
    assert refused.value.param == f"messages[1].content[0].tool.{field}"
