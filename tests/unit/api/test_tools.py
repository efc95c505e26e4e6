"""Tools and the choice among them: what the template shows, and what an answer may call."""

import pytest

from mlxd.errors import InvalidRequestError, UnsupportedParameterError
from mlxd.wire.output_spec import Tool
from tests.support.chat_requests import chat, function, job

F, G = function("f"), function("g")
PARAMETERS = F["function"]["parameters"]


def rules(**fields):
    return job(chat(**fields)).output.tools


def shown(**fields):
    return job(chat(**fields)).prompt.tools


def test_a_tool_reaches_template_and_parser():
    spec = job(chat(tools=[function("f", description="What", strict=True)]))
    assert spec.prompt.tools == [{"type": "function", "function": {"name": "f", "description": "What", "parameters": PARAMETERS}}]
    assert spec.output.tools.tools == [Tool(name="f", parameters=PARAMETERS, strict=True)]
    assert (spec.output.tools.required, spec.output.tools.parallel) == (False, True)


@pytest.mark.parametrize("fields", [{}, {"tools": []}, {"tools": None}, {"tools": [], "tool_choice": "auto"}])
def test_without_tools_nothing_is_parsed(fields):
    assert (rules(**fields), shown(**fields)) == (None, [])


@pytest.mark.parametrize(
    ("choice", "names", "required"),
    [
        ("auto", ["f", "g"], False),
        (None, ["f", "g"], False),
        ("required", ["f", "g"], True),
        ("any", ["f", "g"], True),
        ({"type": "function", "function": {"name": "g"}}, ["g"], True),
        ({"type": "function", "name": "g"}, ["g"], True),
        ({"function": {"name": "g"}}, ["g"], True),
        ({"type": "auto"}, ["f", "g"], False),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [G]}}, ["g"], True),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}, ["f"], False),
    ],
)
def test_choices(choice, names, required):
    found = rules(tools=[F, G], tool_choice=choice)
    assert ([tool.name for tool in found.tools], found.required) == (names, required)
    assert found.parallel is not (isinstance(choice, dict) and choice.get("type", "function") == "function")  # a named one is called once
    assert len(shown(tools=[F, G], tool_choice=choice)) == 2  # the prompt, and its cache, is the same whatever is chosen


def test_a_function_as_the_responses_api_writes_it():
    flat = {"type": "function", **F["function"], "strict": True}
    assert (rules(tools=[flat]).tools[0].strict, shown(tools=[flat])) == (True, shown(tools=[F]))


def test_none_leaves_the_tools_out():
    assert (rules(tools=[F], tool_choice="none"), shown(tools=[F], tool_choice="none")) == (None, [])


def test_required_without_tools_asks_nothing():
    """One client sends it so."""
    assert rules(tool_choice="required") is None


@pytest.mark.parametrize("parallel", [False, True])
def test_parallel_calls(parallel):
    assert rules(tools=[F], parallel_tool_calls=parallel).parallel is parallel


def test_the_old_names():
    found = rules(functions=[F["function"], G["function"]], function_call={"name": "g"})
    assert ([tool.name for tool in found.tools], found.required, found.parallel) == (["g"], True, False)
    assert [tool["function"]["name"] for tool in shown(functions=[F["function"]])] == ["f"]
    assert rules(functions=[F["function"]], function_call="none") is None


SCHEMAS = [
    {"parameters": None},
    {"parameters": {}},
    {"parameters": {"type": "object", "properties": {}}},
    {"parameters": {"type": "object", "properties": {"a": {"type": ["string", "null"], "default": None}}}},
    {"parameters": {"properties": {"items": {"items": {"type": "string"}}, "get": {}, "type": {"enum": [1, 2]}}}},
    {"parameters": {"$defs": {"A": {"type": "object"}}, "type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}}},
    {"parameters": {"type": ["object", "null"]}},
    {"parameters": {"type": None}},
    {"description": None, "strict": None},
]


@pytest.mark.parametrize("fields", SCHEMAS)
def test_schemas_as_clients_write_them(fields):
    tool = function("f", **fields)
    assert rules(tools=[tool]).tools[0].parameters == tool["function"]["parameters"]


def test_a_tool_without_parameters_is_shown_with_none():
    tool = {"type": "function", "function": {"name": "now"}}
    assert shown(tools=[tool])[0]["function"] == {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize("name", ["a-b", "a.b", "a__b", "x" * 64, "x" * 128, "server:tool", "_f", "0"])
def test_names(name):
    assert rules(tools=[function(name)]).tools[0].name == name


@pytest.mark.parametrize("more", [{"cache_control": {"type": "ephemeral"}}, {"strict": True}], ids=["cache_control", "strict"])
def test_what_stands_beside_the_function(more):
    assert rules(tools=[F | more]).tools[0].strict is more.get("strict", False)


WRONG = [
    ({"tools": {}}, "tools", "must be an array"),
    ({"tools": ["f"]}, "tools[0]", "must be an object"),
    ({"tools": [{"type": "function"}]}, "tools[0].function", "is required"),
    ({"tools": [F, {"type": "web_search"}]}, "tools[1].type", "web_search"),
    ({"tools": [F, {"type": "custom", "custom": {"name": "x"}}]}, "tools[1].type", "custom"),
    ({"tools": [function("")]}, "tools[0].function.name", "1 to 128"),
    ({"tools": [function("a b")]}, "tools[0].function.name", 'not "a b"'),
    ({"tools": [function("x" * 129)]}, "tools[0].function.name", "1 to 128"),
    ({"tools": [function("<tool_call>")]}, "tools[0].function.name", "1 to 128"),
    ({"tools": [F, G, F]}, "tools[2].function.name", "two tools of the name 'f'"),
    ({"tools": [function("f", parameters="x")]}, "tools[0].function.parameters", "must be a JSON schema"),
    ({"tools": [function("f", parameters={"type": "string"})]}, "tools[0].function.parameters.type", 'must be "object"'),
    ({"tools": [function("f", strict="yes")]}, "tools[0].function.strict", "must be true or false"),
    ({"tools": [function("f", nope=1)]}, "tools[0].function.nope", "unknown field"),
    ({"tools": [F] * 1025}, "tools", "1024"),
    ({"tools": [function("f", description="x" * 5_000_000)]}, "tools", "bytes of JSON"),
    ({"tools": [F], "tool_choice": "maybe"}, "tool_choice", 'not "maybe"'),
    ({"tools": [F], "tool_choice": {"type": "function"}}, "tool_choice.function.name", "must be the name"),
    ({"tools": [F], "tool_choice": {"type": "mcp"}}, "tool_choice.type", "allowed_tools"),
    ({"tools": [F], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice", "'x', which is not among"),
    ({"tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice", "'x', which is not among"),
    ({"tools": [F], "tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}, "tool_choice.allowed_tools", "array of tools"),
    ({"tools": [F], "functions": [G["function"]]}, "functions", "give one of them"),
    ({"functions": [F["function"]], "function_call": {"name": "x"}}, "function_call", "'x', which is not among"),
    ({"tools": [F], "tool_choice": "auto", "function_call": "none"}, "function_call", "differ"),
    ({"tools": [F], "parallel_tool_calls": "no"}, "parallel_tool_calls", "must be true or false"),
]


@pytest.mark.parametrize(("fields", "param", "fragment"), WRONG, ids=[f"{param}-{fragment}" for _, param, fragment in WRONG])
def test_what_is_wrong_is_named(fields, param, fragment):
    with pytest.raises(InvalidRequestError, match=fragment.replace("(", r"\(")) as caught:
        rules(**fields)
    assert caught.value.param == param


def test_a_kind_of_tool_that_clients_cannot_drop_is_unsupported():
    with pytest.raises(UnsupportedParameterError):
        rules(tools=[{"type": "web_search_preview"}])
