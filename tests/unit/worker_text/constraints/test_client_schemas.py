"""Schemas as pydantic, zod and others write them."""

import datetime as dt
import ipaddress
import json
import uuid

import jsonschema_rs
import pytest

from mlxd.wire.output_spec import JsonSchema, OutputSpec
from tests.unit.worker_text.constraints.walk import constraint_of, walked

NAMES = ("items", "keys", "values", "get", "type", "properties", "description", "$ref", "required", "enum", "default", "anyOf")
SCHEMAS = {
    "pydantic": {
        "$defs": {
            "Cat": {"properties": {"kind": {"const": "cat", "default": "cat", "title": "Kind", "type": "string"}}, "required": ["kind"]},
            "Dog": {"properties": {"kind": {"const": "dog", "title": "Kind"}, "age": {"type": "integer"}}, "required": ["kind", "age"]},
        },
        "properties": {
            "pet": {
                "discriminator": {"mapping": {"cat": "#/$defs/Cat"}, "propertyName": "kind"},
                "oneOf": [
                    {"$ref": "#/$defs/Cat", "type": "object"},
                    {"type": "object", "properties": {"kind": {"const": "dog"}}, "required": ["kind"]},
                ],
            },
            "nick": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}], "default": None, "title": "Nick"},
            "tags": {"items": {"type": "string", "maxLength": 3}, "maxItems": 2, "type": "array"},
            "born": {"format": "date", "type": "string"},
        },
        "required": ["pet", "nick", "tags", "born"],
        "title": "Owner",
        "type": "object",
    },
    "zod": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": -9007199254740991, "maximum": 9007199254740991},
            "record": {
                "type": "object",
                "propertyNames": {"type": "string"},
                "additionalProperties": {"type": "boolean"},
                "maxProperties": 2,
            },
            "same": {"$ref": "#/properties/n", "description": "as above"},
            "pair": {"type": "array", "items": [{"type": "boolean"}, {"type": "null"}], "additionalItems": False, "minItems": 2},
        },
        "required": ["n", "record", "same", "pair"],
        "additionalProperties": False,
    },
    "recursive": {
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {"v": {"type": "boolean"}, "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
                "required": ["v", "next"],
            }
        },
        "$ref": "#/$defs/Node",
    },
    "type_list": {"type": ["boolean", "null"]},
    "no_type": {"properties": {"a": {"enum": [1, "x"]}}, "required": ["a"]},
    "u64": {"type": "integer", "format": "uint64", "minimum": 0, "maximum": 18446744073709551615},
    "unknown_words": {"type": "boolean", "x-order": 3, "example": True, "deprecated": False, "uniqueItems": False, "then": {}},
    "merged": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "null"}}, "required": ["b"]},
        ]
    },
    "true": True,
    "names": {"type": "object", "properties": {name: {"type": "boolean"} for name in NAMES}, "required": list(NAMES)},
}


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("seed", range(3))
def test_an_answer_is_valid(name, seed):
    constraint = constraint_of(OutputSpec(constraint=JsonSchema(field="schema", schema=SCHEMAS[name])))
    text = walked(constraint, seed=seed)
    assert jsonschema_rs.is_valid(SCHEMAS[name], json.loads(text)), text


def test_null_is_allowed_where_it_is_asked_for_in_openapi_s_way():
    schema = {"type": "integer", "nullable": True, "minimum": 1, "maximum": 1}
    constraints = [constraint_of(OutputSpec(constraint=JsonSchema(field="schema", schema=schema))) for _ in range(20)]
    assert {walked(constraint, seed=seed) for seed, constraint in enumerate(constraints)} == {"1", "null"}


def test_a_keyword_that_is_null_asks_nothing():
    schema = {"properties": {"a": {"type": "boolean", "pattern": None, "enum": None, "default": None}}, "required": ["a"], "items": None}
    constraint = constraint_of(OutputSpec(constraint=JsonSchema(field="schema", schema=schema)))
    assert json.loads(walked(constraint)) in ({"a": True}, {"a": False})


def test_exclusive_bounds_of_draft_4():
    schema = {"type": "integer", "minimum": 3, "exclusiveMinimum": True, "maximum": 5, "exclusiveMaximum": False, "id": "x"}
    constraints = [constraint_of(OutputSpec(constraint=JsonSchema(field="schema", schema=schema))) for _ in range(20)]
    assert {walked(constraint, seed=seed) for seed, constraint in enumerate(constraints)} == {"4", "5"}


READERS = {
    "date": dt.date.fromisoformat,
    "date-time": lambda text: dt.datetime.fromisoformat(text.upper()),
    "time": lambda text: dt.time.fromisoformat(text.upper()),
    "uuid": uuid.UUID,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
}


@pytest.mark.parametrize("name", READERS)
def test_a_format_can_be_read(name):
    for seed in range(20):
        constraint = constraint_of(OutputSpec(constraint=JsonSchema(field="schema", schema={"type": "string", "format": name})))
        READERS[name](json.loads(walked(constraint, seed=seed)))


@pytest.mark.parametrize("extra", [{}, {"minLength": 2}, {"pattern": "b"}])
def test_an_address_is_as_short_as_addresses_are(extra):
    schema = {"type": "string", "format": "email", **extra}
    for seed in range(10):
        text = walked(constraint_of(OutputSpec(constraint=JsonSchema(field="schema", schema=schema))), seed=seed)
        assert jsonschema_rs.validator_for(schema, validate_formats=True).is_valid(json.loads(text))
