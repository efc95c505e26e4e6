"""What an answer must be, in every spelling that clients use."""

import json

import pytest

from mlxd.errors import InvalidRequestError
from mlxd.wire.output_spec import Choice, Grammar, JsonObject, JsonSchema, Regex
from tests.support.chat_requests import chat, function, job

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
NAMED = {"type": "json_schema", "json_schema": {"name": "A", "schema": SCHEMA}}
GBNF = 'root ::= "yes" | "no"\n'
LARK = 'start: "yes" | "no"\n'


def constraint(**fields):
    return job(chat(**fields)).output.constraint


ASKED = [
    ({"response_format": None}, None),
    ({"response_format": {}}, None),
    ({"response_format": {"type": "text"}}, None),
    ({"response_format": {"type": "json_object"}}, JsonObject()),
    ({"response_format": {"type": "json_object", "schema": SCHEMA}}, JsonSchema(field="response_format.schema", schema=SCHEMA)),
    ({"response_format": NAMED}, JsonSchema(field="response_format.json_schema.schema", schema=SCHEMA)),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "A", "description": "x", "strict": True, "schema": SCHEMA}}},
        JsonSchema(field="response_format.json_schema.schema", schema=SCHEMA),
    ),
    ({"response_format": {"type": "json_schema", "schema": SCHEMA}}, JsonSchema(field="response_format.schema", schema=SCHEMA)),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "A"}}}, JsonObject()),
    ({"structured_outputs": {"json": SCHEMA}}, JsonSchema(field="structured_outputs.json", schema=SCHEMA)),
    ({"structured_outputs": {"json": json.dumps(SCHEMA)}}, JsonSchema(field="structured_outputs.json", schema=SCHEMA)),
    ({"structured_outputs": {"json_object": True}}, JsonObject()),
    ({"structured_outputs": {"json_object": False, "regex": None}}, None),
    ({"structured_outputs": {}}, None),
    ({"structured_outputs": {"regex": "a+"}}, Regex(field="structured_outputs.regex", pattern="a+")),
    ({"structured_outputs": {"choice": ["a", "b"]}}, Choice(field="structured_outputs.choice", choices=["a", "b"])),
    ({"structured_outputs": {"grammar": GBNF}}, Grammar(field="structured_outputs.grammar", text=GBNF, syntax="gbnf")),
    ({"structured_outputs": {"grammar": LARK}}, Grammar(field="structured_outputs.grammar", text=LARK, syntax="lark")),
    ({"guided_json": SCHEMA}, JsonSchema(field="guided_json", schema=SCHEMA)),
    ({"guided_json": json.dumps(SCHEMA)}, JsonSchema(field="guided_json", schema=SCHEMA)),
    ({"guided_json": True}, JsonSchema(field="guided_json", schema=True)),
    ({"guided_json": {"maximum": 10**20}}, JsonSchema(field="guided_json", schema={"maximum": 1e20})),  # no wire has wider integers
    ({"guided_regex": "a+", "guided_decoding_backend": "xgrammar"}, Regex(field="guided_regex", pattern="a+")),
    ({"guided_choice": ["a"]}, Choice(field="guided_choice", choices=["a"])),
    ({"guided_grammar": LARK}, Grammar(field="guided_grammar", text=LARK, syntax="lark")),
    ({"json_schema": SCHEMA}, JsonSchema(field="json_schema", schema=SCHEMA)),
    ({"grammar": GBNF}, Grammar(field="grammar", text=GBNF, syntax="gbnf")),
    ({"grammar": ""}, None),  # front ends of llama.cpp send their empty field
]


@pytest.mark.parametrize(("fields", "expected"), ASKED, ids=[json.dumps(fields)[:80] for fields, _ in ASKED])
def test_spellings(fields, expected):
    assert constraint(**fields) == expected


WRONG = [
    ({"response_format": "json"}, "response_format", "must be an object"),
    ({"response_format": {"schema": SCHEMA}}, "response_format.type", "is required"),
    ({"response_format": {"type": "xml"}}, "response_format.type", 'not "xml"'),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "is required"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": [1]}}}, "response_format.json_schema.schema", "an array"),
    ({"response_format": {"type": "json_object", "nope": 1}}, "response_format.nope", "unknown field"),
    ({"guided_json": "{broken"}, "guided_json", "is not valid JSON"),
    ({"guided_json": ""}, "guided_json", "is empty"),
    ({"guided_json": '{"a":' * 1000}, "guided_json", "nested too deeply"),
    ({"guided_json": {"maximum": 10**400}}, "guided_json", "too large"),
    ({"guided_json": 5}, "guided_json", "must be a JSON schema"),
    ({"guided_regex": ""}, "guided_regex", "must not be empty"),
    ({"guided_choice": []}, "guided_choice", "must not be empty"),
    ({"guided_choice": [1]}, "guided_choice[0]", "must be a string"),
    ({"guided_choice": ["x"] * 10_001}, "guided_choice", "10000"),
    ({"guided_grammar": ""}, "guided_grammar", "must not be empty"),
    ({"structured_outputs": {"structural_tag": "x"}}, "structured_outputs.structural_tag", "not supported yet"),
    ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs.choice", "both say what the answer must be"),
    ({"response_format": {"type": "json_object"}, "guided_regex": "a"}, "guided_regex", "response_format and guided_regex both"),
    ({"guided_json": SCHEMA, "grammar": GBNF}, "grammar", "guided_json and grammar both"),
    ({"guided_regex": "a", "tools": [function()], "tool_choice": "required"}, "guided_regex", "must be a call"),
]


@pytest.mark.parametrize(("fields", "param", "fragment"), WRONG, ids=[json.dumps(fields)[:80] for fields, _, _ in WRONG])
def test_what_is_wrong_is_named(fields, param, fragment):
    with pytest.raises(InvalidRequestError, match=fragment) as caught:
        constraint(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_content_is_limited_beside_tools(choice):
    assert constraint(response_format=NAMED, tools=[function()], tool_choice=choice) is not None


def test_a_format_says_nothing_of_an_answer_that_is_a_call():
    """Agents with an output type that force a first call send both."""
    assert constraint(response_format=NAMED, tools=[function()], tool_choice="required") is None
