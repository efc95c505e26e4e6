"""The keywords of JSON Schema (draft 4 to 2020-12): which are enforced, which are refused, and all others ask nothing."""

from collections.abc import Callable, Mapping
from typing import Any

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")

# Formats that are enforced; any other is an annotation, as the standard has it.
FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"})

# What the library leaves open of them, and readers refuse: the 29th of February of most years, the year 0, second 60, long fractions.
_DAY = "[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
_HOUR = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = f"{_HOUR}:[0-5][0-9](?:[.][0-9]{{1,6}})?(?:[zZ]|[+-]{_HOUR})"
FORMAT_PATTERNS = {"date": f"^{_DAY}$", "date-time": f"^{_DAY}[tT]{_TIME}$", "time": f"^{_TIME}$"}
FORMAT_LENGTHS = {"email": 64, "hostname": 253}

# What a schema without "type" speaks of, where it has one of these: nobody who writes "properties" means a number.
IMPLIED = {
    "object": ("properties", "required", "additionalProperties", "patternProperties", "minProperties", "maxProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}

ONE_SCHEMA = ("additionalProperties", "items", "additionalItems")
SCHEMAS = ("prefixItems", "anyOf", "allOf", "oneOf")
NAMED_SCHEMAS = ("properties", "patternProperties")
SIZES = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")

# Every keyword that asks something of a value, but "type", which others repeat.
ASKING = frozenset({"$ref", "const", "enum", "format", "required"}).union(
    ONE_SCHEMA, SCHEMAS, NAMED_SCHEMAS, SIZES, BOUNDS, *IMPLIED.values()
)

Schema = Mapping[str, Any]


def _never(value: Any, schema: Schema) -> bool:
    del value, schema
    return False


def _is_empty(value: Any, schema: Schema) -> bool:
    del schema
    return value in ({}, [], True)


def _is_off(value: Any, schema: Schema) -> bool:
    """Tells whether the items of an array, one at most, are unique whatever they are."""
    return value is False or schema.get("maxItems") in (0, 1)


def _is_any_name(value: Any, schema: Schema) -> bool:
    del schema
    return value is True or (
        isinstance(value, dict) and not value.keys() - {"type", "title", "description"} and value.get("type", "string") == "string"
    )


def _has_no_branch(value: Any, schema: Schema) -> bool:
    del value
    return not schema.keys() & {"then", "else"}


def _has_no_condition(value: Any, schema: Schema) -> bool:
    del value
    return "if" not in schema


def _counts_nothing(value: Any, schema: Schema) -> bool:
    del value
    return "contains" not in schema


# Keywords that cannot be enforced, with what tells that one asks nothing all the same.
REFUSED: Mapping[str, Callable[[Any, Schema], bool]] = {
    "not": _never,
    "if": _has_no_branch,
    "then": _has_no_condition,
    "else": _has_no_condition,
    "uniqueItems": _is_off,
    "contains": _never,
    "minContains": _counts_nothing,
    "maxContains": _counts_nothing,
    "propertyNames": _is_any_name,
    "dependentRequired": _is_empty,
    "dependentSchemas": _is_empty,
    "dependencies": _is_empty,
    "unevaluatedItems": _is_empty,
    "unevaluatedProperties": _is_empty,
    "$dynamicRef": _never,
    "$recursiveRef": _never,
}
