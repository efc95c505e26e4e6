"""Schemas as the simplest templates read them: one type a property, spelled out, and no nulls. For templates that fail on others."""

from collections.abc import Mapping
from typing import Any

_BY_KEY = {"properties": "object", "items": "array", "enum": "string"}  # what a schema without a type is, by a key that it has


def plain_tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a tool, as OpenAI writes it, with a plain schema."""
    function = tool.get("function")
    if not isinstance(function, dict):
        return tool
    return {**tool, "function": function | {"parameters": plain_schema(function.get("parameters") or {})}}


def plain_schema(schema: Any) -> Any:
    """Returns a schema that says less than it did, and nothing else."""
    if not isinstance(schema, dict):
        return {"type": "string"}
    plain = {key: value for key, value in schema.items() if value is not None}
    plain["type"] = _type(plain)
    if isinstance(properties := plain.get("properties"), dict):
        plain["properties"] = {name: plain_schema(one) for name, one in properties.items()}
    elif plain["type"] == "object":
        plain["properties"] = {}
    if "items" in plain:
        plain["items"] = plain_schema(plain["items"])
    return plain


def _type(schema: dict[str, Any]) -> str:
    match schema.get("type"):
        case str(name):
            return name
        case [*names]:
            return next((name for name in names if isinstance(name, str) and name != "null"), "string")
    for key in ("anyOf", "oneOf", "allOf"):
        for option in schema.get(key) or []:
            if isinstance(option, dict) and (name := _type(option)) != "null":
                return name
    return next((name for key, name in _BY_KEY.items() if key in schema), "string")
