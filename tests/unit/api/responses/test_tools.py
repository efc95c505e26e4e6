"""The tools that an answer may call: of every kind, under the model's names, and back."""

import re

import pytest

from mlxd.errors import InvalidRequestError
from mlxd.types import FinishReason
from mlxd.wire.parts import ToolCallArguments, ToolCallBegun
from tests.support.response_streams import check_life
from tests.support.scripted_answers import script
from tests.unit.api.responses.asking import CITY, answer, custom, function, job, read, refused, stream

HOSTED = [
    *("web_search", "web_search_preview", "web_search_preview_2025_03_11", "file_search", "code_interpreter", "image_generation", "mcp"),
    *("computer", "computer_use_preview", "local_shell", "shell", "apply_patch", "tool_search", "programmatic_tool_calling", "next_month"),
]
NAMESPACE = {"type": "namespace", "name": "crm", "description": "About customers.", "tools": [function("find"), custom("note")]}


def shown(**fields):
    """Returns what the model is told of the tools."""
    return [tool["function"] for tool in job(**fields).prompt.tools]


def names(rules):
    return [tool.name for tool in rules.tools]


def test_functions_flat_and_as_chats_write_them():
    nested = {"type": "function", "function": {"name": "f", "description": "d", "parameters": CITY, "strict": True}}
    for tool in (function(description="d", strict=True), nested, {"name": "f", "description": "d", "parameters": CITY, "strict": True}):
        asked = job(tools=[tool])
        assert asked.prompt.tools == [{"type": "function", "function": {"name": "f", "description": "d", "parameters": CITY}}]
        assert [(one.name, one.strict) for one in asked.output.tools.tools] == [("f", True)]
    assert shown(tools=[function(parameters=None, strict=None)])[0]["parameters"] == {"type": "object", "properties": {}}


def test_a_custom_tool_is_a_function_of_one_text():
    [told] = shown(tools=[custom(description="d")])
    text = {"type": "string", "description": "Free text, as it is."}
    parameters = {"type": "object", "properties": {"input": text}, "required": ["input"], "additionalProperties": False}
    assert told == {"name": "patch", "description": "d", "parameters": parameters}
    assert shown(tools=[custom(description="d", format={"type": "text"})]) == [told]


def test_a_custom_tool_s_grammar_is_told_and_a_regular_expression_enforced():
    [lark] = job(tools=[custom(format={"type": "grammar", "syntax": "lark", "definition": 'start: "a"'})]).output.tools.tools
    assert 'Lark grammar:\nstart: "a"' in lark.parameters["properties"]["input"]["description"]
    assert not lark.strict
    [regex] = job(tools=[custom(format={"type": "grammar", "syntax": "regex", "definition": "a|b"})]).output.tools.tools
    assert (regex.strict, regex.parameters["properties"]["input"]["pattern"]) == (True, "^(?:a|b)$")


@pytest.mark.parametrize("kind", HOSTED)
async def test_a_hosted_tool_is_left_out_and_told(server, kind):
    server.worker.script = script([])
    body = await answer(server, tools=[function(), {"type": kind, "server_label": "x", "external_web_access": False}])
    assert body["warnings"] == [f"tools[1]: {kind} is not carried out here, so that the tool was left out"]
    assert [tool["type"] for tool in body["tools"]] == ["function"]
    assert names(server.worker.submitted[0].generate.output.tools) == ["f"]
    alone = await answer(server, tools=[{"type": kind}], tool_choice="required")
    assert alone["output"][0]["type"] == "message"


def test_a_namespace_is_flattened():
    told = shown(tools=[NAMESPACE, function("find")])
    assert [one["name"] for one in told] == ["crm__find", "crm__note", "find"]
    assert [one["description"] for one in told] == ["About customers.", "", ""]
    assert [one["name"] for one in shown(tools=[{**NAMESPACE, "name": "mcp__crm__"}])] == ["mcp__crm__find", "mcp__crm__note"]


def test_every_function_has_a_name_of_its_own():
    long = [{"type": "namespace", "name": "n" * 100, "tools": [function("f" * 100), function("f" * 99 + "g")]}]
    tools = [NAMESPACE, function("crm__find"), {**NAMESPACE, "name": "crm__"}, *long]
    found = [one["name"] for one in shown(tools=tools)]
    assert found[:5] == ["crm__find_2", "crm__note", "crm__find", "crm__find_3", "crm__note_2"]
    assert len(set(found)) == len(found)
    assert max(map(len, found)) <= 128
    catalogue = read(tools=tools).catalogue
    assert [(catalogue.entry(name).namespace, catalogue.entry(name).name) for name in found[:4]] == [
        *(("crm", "find"), ("crm", "note"), (None, "crm__find"), ("crm__", "find")),
    ]


async def test_calls_have_the_client_s_names(server):
    called = [ToolCallBegun(index=0, id="a", name="crm__find"), ToolCallArguments(index=0, text="{}")]
    called += [ToolCallBegun(index=1, id="b", name="crm__note"), ToolCallArguments(index=1, text='{"input": "x"}')]
    server.worker.script = script(called, reason=FinishReason.TOOL_CALLS)
    body = await answer(server, tools=[NAMESPACE])
    assert [(item["type"], item["namespace"], item["name"]) for item in body["output"]] == [
        ("function_call", "crm", "find"),
        ("custom_tool_call", "crm", "note"),
    ]
    assert body["output"][1]["input"] == "x"
    assert body["tools"][0]["tools"][0]["name"] == "find"


TOOLS = [function("f"), custom("patch"), NAMESPACE, {"type": "web_search"}]


@pytest.mark.parametrize(
    ("choice", "required", "allowed"),
    [
        (None, False, ["f", "patch", "crm__find", "crm__note"]),
        ("auto", False, ["f", "patch", "crm__find", "crm__note"]),
        ("required", True, ["f", "patch", "crm__find", "crm__note"]),
        ({"type": "function", "name": "f"}, True, ["f"]),
        ({"type": "function", "function": {"name": "f"}}, True, ["f"]),
        ({"type": "custom", "name": "patch"}, True, ["patch"]),
        ({"type": "custom", "custom": {"name": "patch"}}, True, ["patch"]),
        ({"type": "function", "name": "find", "namespace": "crm"}, True, ["crm__find"]),
        ({"type": "function", "name": "find"}, True, ["crm__find"]),
        ({"type": "function", "name": "crm__find"}, True, ["crm__find"]),
        ({"type": "namespace", "name": "crm"}, True, ["crm__find", "crm__note"]),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}, False, ["f"]),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "patch"}]}, True, ["patch"]),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}},
            False,
            ["f"],
        ),
    ],
)
def test_choices(choice, required, allowed):
    rules = job(tools=TOOLS, tool_choice=choice).output.tools
    assert (rules.required, names(rules)) == (required, allowed)
    assert rules.parallel != (isinstance(choice, dict) and choice["type"] in ("function", "custom"))


@pytest.mark.parametrize("choice", ["none", {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}])
def test_none_may_be_called(choice):
    asked = job(tools=TOOLS, tool_choice=choice)
    assert (asked.output.tools, asked.prompt.tools) == (None, [])


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ({"type": "web_search_preview"}, "tool_choice"),
        ({"type": "mcp", "server_label": "x"}, "tool_choice"),
        ({"type": "apply_patch"}, "tool_choice"),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]}, "tool_choice"),
        ({"type": "allowed_tools", "mode": "required", "tools": []}, "tool_choice"),
        ({"type": "function", "name": "nobody"}, "tool_choice"),
        ({"type": "function"}, "tool_choice.name"),
        ({"type": "allowed_tools", "mode": "none", "tools": []}, "tool_choice.mode"),
        ({"type": "allowed_tools", "tools": "f"}, "tool_choice.tools"),
        ({"type": "allowed_tools", "tools": ["f"]}, "tool_choice.tools[0]"),
        ({"type": 7}, "tool_choice.type"),
        ("always", "tool_choice"),
        (7, "tool_choice"),
    ],
)
async def test_choices_that_cannot_be_obeyed_have_a_name(server, choice, param):
    assert (await refused(server, tools=TOOLS, tool_choice=choice))[0] == param


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ({}, "tools"),
        (["f"], "tools[0]"),
        ([{"description": "d"}], "tools[0].type"),
        ([{"type": None}], "tools[0].type"),
        ([{"type": 7}], "tools[0].type"),
        ([function("a b")], "tools[0].name"),
        ([{"type": "function"}], "tools[0].name"),
        ([function(parameters={"type": "string"})], "tools[0].parameters.type"),
        ([function(parameters=[])], "tools[0].parameters"),
        ([function("f"), custom("f")], "tools[1].name"),
        ([custom(format={"type": "grammar", "syntax": "yacc", "definition": "a"})], "tools[0].format.syntax"),
        ([custom(format={"type": "grammar", "syntax": "lark"})], "tools[0].format.definition"),
        ([custom(format={"type": "grammar", "definition": "a"})], "tools[0].format.syntax"),
        ([custom(format={"type": "json"})], "tools[0].format.type"),
        ([{**NAMESPACE, "name": ""}], "tools[0].name"),
        ([{**NAMESPACE, "tools": [function("a b")]}], "tools[0].tools[0].name"),
    ],
)
async def test_what_is_wrong_with_a_tool_has_a_name(server, tools, param):
    assert (await refused(server, tools=tools))[0] == param


def test_an_unknown_field_of_a_tool_is_one():
    with pytest.raises(InvalidRequestError) as refusal:
        read(tools=[function(nonsense=1)])
    assert refusal.value.param == "tools[0].nonsense"
    assert read("ignore", tools=[function(nonsense=1)]).warnings == ["the field tools[0].nonsense is unknown and was ignored"]
    assert shown(tools=[function(defer_loading=True, allowed_callers=["direct"], output_schema={})])[0]["name"] == "f"


# ---- tools that are found on the way ----

SEARCH = {"type": "tool_search", "execution": "client", "description": "Finds tools."}
FOUND = {"type": "tool_search_output", "call_id": "call_s", "execution": "client", "tools": [NAMESPACE, function("f"), {"type": "mcp"}]}


async def test_a_search_that_the_client_carries_out_is_called_as_what_it_is(server):
    called = [ToolCallBegun(index=0, id="call_s", name="tool_search"), ToolCallArguments(index=0, text='{"query": "crm"}')]
    server.worker.script = script(called[:1], called[1:], reason=FinishReason.TOOL_CALLS)
    response = check_life(await stream(server, tools=[SEARCH]))
    [call] = response["output"]
    told = {"type": "tool_search_call", "status": "completed", "call_id": "call_s", "execution": "client", "arguments": {"query": "crm"}}
    assert call == told | {"id": call["id"]}
    assert shown(tools=[SEARCH])[0]["parameters"]["required"] == ["query"]
    assert names(job(tools=[SEARCH], tool_choice={"type": "tool_search"}).output.tools) == ["tool_search"]


SEARCHED = {"type": "tool_search_call", "call_id": "call_s", "execution": "client", "arguments": {"query": "crm"}}


def test_what_it_found_is_told_where_it_comes_in_and_may_be_called():
    before = job(tools=[SEARCH, function("f")])
    asked = job(input=[{"role": "user", "content": "a"}, SEARCHED, FOUND], tools=[SEARCH, function("f")])
    assert asked.prompt.tools == before.prompt.tools
    assert names(asked.output.tools) == ["tool_search", "f", "crm__find", "crm__note"]
    _, turn, result = asked.prompt.messages
    assert (turn.tool_calls[0].name, turn.tool_calls[0].arguments) == ("tool_search", '{"query":"crm"}')
    assert re.findall(r'<function>{"name":"(\w+)"', result.content) == ["crm__find", "crm__note", "f"]
    assert result.tool_call_id == "call_s"
    nothing = job(input=[SEARCHED, {**FOUND, "tools": []}], tools=[SEARCH]).prompt.messages[-1]
    assert nothing.content == "No function was found."


def test_tools_may_be_added_by_an_item():
    added = {"type": "additional_tools", "role": "developer", "tools": [function("g"), function("crm__find")]}
    asked = job(input=[{"role": "user", "content": "a"}, added, added], tools=[NAMESPACE])
    assert [tool["function"]["name"] for tool in asked.prompt.tools] == ["crm__find", "crm__note"]
    assert names(asked.output.tools) == ["crm__find", "crm__note", "g", "crm__find_2"]
    assert [message.role for message in asked.prompt.messages] == ["user", "system", "system"]
    assert '"name":"crm__find_2"' in asked.prompt.messages[1].content
    alone = job(input=[{"role": "user", "content": "a"}, added])
    assert [tool["function"]["name"] for tool in alone.prompt.tools] == ["g", "crm__find"]


def test_one_call_at_most():
    assert not job(tools=TOOLS, parallel_tool_calls=False).output.tools.parallel
    assert job(tools=TOOLS, parallel_tool_calls=None).output.tools.parallel
