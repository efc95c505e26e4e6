"""Which kinds of JSON values a tool's schema allows for a parameter."""

from collections.abc import Mapping
from typing import Any

from mlxd.wire.output_spec import Tool

Kinds = frozenset[str]

STRING: Kinds = frozenset({"string"})
CONTAINERS: Kinds = frozenset({"object", "array"})
ANY: Kinds = frozenset({"string", "null", "boolean", "integer", "number"}) | CONTAINERS

_DEEPEST = 16  # schemas in each other
_MOST = 256  # schemas that one is put together from
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
    schemas = _Schemas(root)
    properties = schemas.properties(root)
    if name in properties:
        return schemas.kinds(properties[name])
    others = root.get("additionalProperties")
    return schemas.kinds(others) if isinstance(others, Mapping) else None


def kinds_taken(tool: Tool | None, name: str, *, unknown: Kinds, untyped: Kinds) -> Kinds:
    """Returns the kinds that a value of the parameter ``name`` is read as: ``unknown`` where the tool has none of that name, ``untyped``
    where its schema says nothing. Parsers and grammars go by it, so that what is enforced is read back as it was meant.
    """
    kinds = parameter_kinds(tool, name)
    return unknown if kinds is None else kinds or untyped


class _Schemas:
    """A reader of the schemas in ``root``. Of schemas that are put together from too many others, it reads some."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = _MOST

    def properties(self, schema: Any, depth: int = 0) -> Mapping[str, Any]:
        """Returns the properties of an object's schema, and of those that it is put together from."""
        schema = self._resolved(schema, depth)
        parts = [part for word in ("allOf", "anyOf", "oneOf") for part in _list(schema.get(word))]
        found = {name: each for part in parts for name, each in self.properties(part, depth + 1).items()}
        own = schema.get("properties")
        return found | dict(own) if isinstance(own, Mapping) else found

    def kinds(self, schema: Any, depth: int = 0) -> Kinds:
        """Returns the kinds of values that a schema allows."""
        schema = self._resolved(schema, depth)
        found = _own_kinds(schema)
        for word in ("anyOf", "oneOf"):
            found |= frozenset().union(*(self.kinds(part, depth + 1) for part in _list(schema.get(word))))
        for part in _list(schema.get("allOf")):
            kinds = self.kinds(part, depth + 1)
            found = (found & kinds or found) if found else kinds
        return found | {"integer"} if "number" in found else found

    def _resolved(self, schema: Any, depth: int) -> Mapping[str, Any]:
        """Returns the schema that ``schema`` is, or refers to."""
        for _ in range(_DEEPEST):
            self._left -= 1
            if not isinstance(schema, Mapping) or self._left < 0 or depth > _DEEPEST:
                return {}
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                return schema
            schema = _at(self._root, reference)
        return {}


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
