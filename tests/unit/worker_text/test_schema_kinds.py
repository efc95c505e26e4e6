"""Which kinds of values a tool's schema allows for a parameter."""

import pytest

from mlxd.wire.output_spec import Tool
from mlxd.worker.text.parsers.schema_kinds import parameter_kinds


def kinds(schema, **root):
    return parameter_kinds(Tool(name="f", parameters={"properties": {"a": schema}} | root), "a")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, {"string"}),
        ({"type": "STRING"}, {"string"}),
        ({"type": "number"}, {"number", "integer"}),
        ({"type": ["string", "null"]}, {"string", "null"}),
        ({"type": "string", "nullable": True}, {"string", "null"}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"integer", "null"}),
        ({"oneOf": [{"type": "integer"}, {"enum": ["x", None]}]}, {"integer", "string", "null"}),
        ({"allOf": [{"type": ["string", "integer"]}, {"type": "string"}]}, {"string"}),
        ({"allOf": [{"description": "x"}, {"type": "string"}]}, {"string"}),
        ({"enum": ["C", 1, 1.5, True]}, {"string", "integer", "number", "boolean"}),
        ({"const": [1]}, {"array"}),
        ({"items": {}}, {"array"}),
        ({"properties": {}}, {"object"}),
        ({"pattern": "a"}, {"string"}),
        ({"$ref": "#/$defs/x"}, {"object"}),
        ({"$ref": "#/definitions/y~1z"}, {"boolean"}),
        ({}, set()),
        (True, set()),
        (None, set()),
        ({"type": "any"}, set()),
        ({"type": 5}, set()),
        ({"anyOf": "x"}, set()),
        ({"$ref": "#/nowhere"}, set()),
        ({"$ref": "other.json"}, set()),
        ({"$ref": "#/$defs/itself"}, set()),
        ({"$ref": "#/$defs/deep"}, set()),
    ],
)
def test_kinds_of_a_schema(schema, expected):
    definitions = {"x": {"type": "object"}, "itself": {"$ref": "#/$defs/itself"}, "deep": {"anyOf": [{"$ref": "#/$defs/deep"}] * 2}}
    assert kinds(schema, **{"$defs": definitions, "definitions": {"y/z": {"type": "boolean"}}}) == expected


def test_what_the_tool_has_not():
    assert parameter_kinds(None, "a") is None
    assert parameter_kinds(Tool(name="f"), "a") is None
    assert parameter_kinds(Tool(name="f", parameters={"properties": {"b": {}}}), "a") is None
    assert parameter_kinds(Tool(name="f", parameters={"properties": {}, "additionalProperties": {"type": "integer"}}), "a") == {"integer"}
    assert parameter_kinds(Tool(name="f", parameters={"properties": {}, "additionalProperties": True}), "a") is None


def test_properties_of_parts_and_references():
    parts = {
        "allOf": [{"$ref": "#/$defs/x"}],
        "properties": {"b": {"type": "null"}},
        "$defs": {"x": {"properties": {"a": {"type": "null"}}}},
    }
    assert parameter_kinds(Tool(name="f", parameters=parts), "a") == {"null"}
    assert parameter_kinds(Tool(name="f", parameters=parts), "b") == {"null"}
