"""Schemas for benchmarks, of answers that never end."""

from typing import Any

SCHEMA: dict[str, Any] = {
    "type": "array",
    "minItems": 1000,
    "items": {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "minimum": 0, "maximum": 99999},
            "kind": {"enum": ["person", "company", "place"]},
            "name": {"type": "string", "maxLength": 40},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 4},
            "is_known": {"type": "boolean"},
        },
        "required": ["id", "kind", "name", "tags", "is_known"],
        "additionalProperties": False,
    },
}


def different(number: int) -> dict[str, Any]:
    """Returns one of many schemas: no two have the same grammar, and what is allowed takes longer to find out than in ``SCHEMA``."""
    name = f"field_{number}"
    text = {"type": "string", "pattern": f"^[a-z{number % 10}]{{3,{8 + number % 7}}}( [A-Z][a-z]+){{0,4}}$"}
    when = {"type": "string", "format": ("date-time", "email", "uuid", "ipv4", "hostname")[number % 5]}
    price = {"type": "number", "exclusiveMinimum": -number - 0.5, "maximum": 1000 + number, "multipleOf": 0.01}
    kinds = {f"{name}_{at}": one for at, one in enumerate((text, when, price))}
    options = [{"type": "object", "properties": {"kind": {"const": kind}, name: one}} for kind, one in kinds.items()]
    item = {
        "type": "object",
        "properties": {
            "what": {"anyOf": [{**one, "required": ["kind", name]} for one in options]},
            f"tags_{number}": {"type": "object", "additionalProperties": text, "minProperties": 1},
            "when": when,
            "notes": {"type": "array", "items": {"type": "string", "minLength": 3, "maxLength": 20 + number}, "maxItems": 3},
        },
        "required": ["what", f"tags_{number}", "when", "notes"],
        "additionalProperties": False,
    }
    return {"type": "array", "minItems": 1000, "items": item}
