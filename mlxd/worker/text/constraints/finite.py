"""Schemas that no JSON of finite length is valid against, such as an object that must hold another of its own kind: an answer to one
would never end.
"""

from collections.abc import Mapping
from typing import Any

from mlxd.worker.text.constraints.json_schema import ANYTHING, ReadSchema

_CONTAINERS = {"object", "array"}


def has_finite_values(read: ReadSchema) -> bool:
    """Tells whether a schema has them, as far as references decide it: a definition has, once everything that it needs has."""
    known: set[str] = set()
    while True:
        more = {name for name, schema in read.definitions.items() if name not in known and _has(schema, known)}
        if not more:
            return _has(read.schema, known)
        known |= more


def _has(schema: Any, known: set[str]) -> bool:
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema and schema["$ref"] != ANYTHING and schema["$ref"].removeprefix("#/$defs/") not in known:
        return False
    if not all(_has(one, known) for one in schema.get("allOf", ())):
        return False
    for key in ("anyOf", "oneOf"):
        if key in schema and not any(_has(one, known) for one in schema[key]):
            return False
    types = schema.get("type", "null")
    types = set(types) if isinstance(types, list) else {types}
    return bool(types - _CONTAINERS) or ("object" in types and _object(schema, known)) or ("array" in types and _array(schema, known))


def _object(schema: Mapping[str, Any], known: set[str]) -> bool:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    return all(_has(properties.get(name, others), known) for name in schema.get("required", ()))


def _array(schema: Mapping[str, Any], known: set[str]) -> bool:
    first, rest, least = schema.get("prefixItems", []), schema.get("items", True), schema.get("minItems", 0)
    return all(_has(one, known) for one in first[:least]) and (least <= len(first) or _has(rest, known))
