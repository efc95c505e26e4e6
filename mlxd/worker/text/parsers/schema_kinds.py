"""Which kinds of JSON values a tool's schema allows for a parameter."""

from collections.abc import Mapping
from typing import Any

from mlxd.wire.output_spec import Tool

Kinds = frozenset[str]

STRING: Kinds = frozenset({"string"})
CONTAINERS: Kinds = frozenset({"object", "array"})
ANY: Kinds = frozenset({"string", "null", "boolean", "integer", "number"}) | CONTAINERS

_DEEPEST = 16  # schemas in each other
_KINDS = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}  # a bool is an int, too
_IMPLIED = {  # by a keyword, where no type is given
    "properties": "object",
    "additionalProperties": "object",
    "required": "object",
    "items": "array",
    "prefixItems": "array",
    "pattern": "string",
    "format": "string",
    "minLength": "string",
    "maxLength": "string",
    "minimum": "number",
    "maximum": "number",
    "multipleOf": "number",
}


def parameter_kinds(tool: Tool | None, name: str) -> Kinds | None:
    """Returns the kinds of values that ``tool`` takes for its parameter ``name``: empty where its schema says nothing of them; None where
    the tool has no such parameter.
    """
    root = tool.parameters if tool and isinstance(tool.parameters, Mapping) else {}
    properties = _properties(root, root, 0)
    if name in properties:
        return _kinds(properties[name], root, 0)
    others = root.get("additionalProperties")
    return _kinds(others, root, 0) if isinstance(others, Mapping) else None


def _properties(schema: Any, root: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
    """Returns the properties of an object's schema, and of those that it is put together from."""
    schema = _resolved(schema, root)
    if depth > _DEEPEST:
        return {}
    parts = [part for word in ("allOf", "anyOf", "oneOf") for part in _list(schema.get(word))]
    found = {name: each for part in parts for name, each in _properties(part, root, depth + 1).items()}
    own = schema.get("properties")
    return found | dict(own) if isinstance(own, Mapping) else found


def _kinds(schema: Any, root: Mapping[str, Any], depth: int) -> Kinds:
    schema = _resolved(schema, root)
    if depth > _DEEPEST:
        return frozenset()
    found = _own_kinds(schema)
    for word in ("anyOf", "oneOf"):
        found |= frozenset().union(*(_kinds(part, root, depth + 1) for part in _list(schema.get(word))))
    for part in _list(schema.get("allOf")):
        kinds = _kinds(part, root, depth + 1)
        found = (found & kinds or found) if found else kinds
    if "number" in found:
        found |= {"integer"}
    return found


def _own_kinds(schema: Mapping[str, Any]) -> Kinds:
    types = schema.get("type")
    if isinstance(types, str | list):
        known = frozenset(one.lower() for one in ([types] if isinstance(types, str) else types) if isinstance(one, str))
        if known & ANY:
            return known & ANY | ({"null"} if schema.get("nullable") is True else frozenset())
    if "const" in schema:
        return frozenset({_kind(schema["const"])})
    if values := _list(schema.get("enum")):
        return frozenset(map(_kind, values))
    return frozenset(kind for word, kind in _IMPLIED.items() if word in schema)


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the schema that ``schema`` is, or refers to."""
    for _ in range(_DEEPEST):
        if not isinstance(schema, Mapping):
            return {}
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        schema = _at(root, reference)
    return {}


def _at(root: Mapping[str, Any], reference: str) -> Any:
    found: Any = root
    if not reference.startswith("#"):
        return None
    for step in reference.removeprefix("#").split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _kind(value: Any) -> str:
    return next((kind for type_, kind in _KINDS.items() if isinstance(value, type_)), "object")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
