"""Schemas that no value fits both of: what makes "oneOf" the same as "anyOf"."""

from collections.abc import Callable, Mapping
from typing import Any

from mlxd.worker.text.constraints import keywords

_DEEPEST = 8
_MOST = 200  # schemas of one "oneOf"
_NUMBERS = frozenset({"integer", "number"})


class Disjointness:
    """A prover of it, by types, by the values of "const" and "enum", and by such of a property that both require. ``target`` returns what a
    reference leads to. What it does not prove may be true all the same.
    """

    def __init__(self, target: Callable[[Any], Any]) -> None:
        self._target = target

    def all_of(self, schemas: Any) -> bool:
        """Tells whether each two of the schemas are."""
        if not isinstance(schemas, list) or len(schemas) > _MOST:
            return False
        return all(self._are(one, other, 0) for index, one in enumerate(schemas) for other in schemas[index + 1 :])

    def _are(self, one: Any, other: Any, depth: int) -> bool:
        if depth > _DEEPEST:
            return False
        one, other = self._followed(one), self._followed(other)
        if one is False or other is False:
            return True
        if not isinstance(one, Mapping) or not isinstance(other, Mapping):
            return False
        if self._types(one).isdisjoint(self._types(other)):
            return True
        mine, others = _values(one), _values(other)
        if mine is not None and others is not None:
            return mine.isdisjoint(others)
        return self._property_differs(one, other, depth) or self._every_option_is(one, other, depth)

    def _property_differs(self, one: Mapping[str, Any], other: Mapping[str, Any], depth: int) -> bool:
        if self._types(one) != {"object"} and self._types(other) != {"object"}:
            return False
        mine, others = one.get("properties"), other.get("properties")
        if not isinstance(mine, Mapping) or not isinstance(others, Mapping):
            return False
        both = _required(one) & _required(other) & mine.keys() & others.keys()
        return any(self._are(mine[name], others[name], depth + 1) for name in both)

    def _every_option_is(self, one: Mapping[str, Any], other: Mapping[str, Any], depth: int) -> bool:
        for first, second in ((one, other), (other, one)):
            options = first.get("anyOf") or first.get("oneOf")
            if isinstance(options, list) and len(options) <= _MOST and all(self._are(option, second, depth + 1) for option in options):
                return True
        return False

    def _followed(self, schema: Any) -> Any:
        """Returns what a schema that is nothing but a reference leads to."""
        for _ in range(_DEEPEST):
            if not isinstance(schema, Mapping) or "$ref" not in schema:
                return schema
            schema = self._target(schema["$ref"])
        return True

    def _types(self, schema: Mapping[str, Any]) -> set[str]:
        given = schema.get("type")
        if given is None:
            values = _values(schema)
            return set(keywords.TYPES) if values is None else {kind for kind, _ in values}
        types = set(given) if isinstance(given, list) else {str(given)}
        return {"number" if one in _NUMBERS else one for one in types}


def _required(schema: Mapping[str, Any]) -> set[str]:
    required = schema.get("required")
    return {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()


def _values(schema: Mapping[str, Any]) -> set[tuple[str, str]] | None:
    """Returns the values that alone are valid, with their types; None where they are not listed."""
    listed = [schema["const"]] if "const" in schema else schema.get("enum")
    return {_value(one) for one in listed} if isinstance(listed, list) else None


def _value(value: Any) -> tuple[str, str]:
    if value is None or isinstance(value, bool):
        return ("null" if value is None else "boolean"), repr(value)
    if isinstance(value, int | float):
        return "number", repr(value if isinstance(value, int) or not value.is_integer() else int(value))
    if isinstance(value, str):
        return "string", value
    return ("array" if isinstance(value, list) else "object"), ""
