"""The arguments of a tool, for forms that write them one behind the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlxd.worker.text.constraints.calls.offered import Offered
from mlxd.worker.text.constraints.calls.values import InexpressibleError
from mlxd.worker.text.constraints.grammar import Rule
from mlxd.worker.text.constraints.json_schema import ReadSchema

ANY_KEY = "/[A-Za-z_][A-Za-z0-9_]{0,63}/"  # of arguments that a schema does not name
MOST_KEYS = 32  # of these

_COMBINING = {"anyOf", "allOf", "oneOf", "patternProperties", "minProperties", "maxProperties", "const", "enum"}


@dataclass(frozen=True)
class Argument:
    """An argument that has a name. ``rule_name`` is free in the grammar, for what its value may be."""

    key: str
    schema: Any
    is_required: bool
    rule_name: str


@dataclass(frozen=True)
class Arguments:
    """The arguments of one tool: those with names, and the schema of ``others``, which is False where there are none."""

    named: Sequence[Argument]
    others: Any
    has_properties: bool  # of its own, beside what is required


def arguments_of(tool: Offered) -> Arguments:
    """Returns the arguments, in the order of the schema. Raises ``InexpressibleError`` where it is not one object's."""
    schema = _object_of(tool.schema)
    properties, required, others = schema.get("properties", {}), schema.get("required", []), schema.get("additionalProperties", True)
    keys = [*properties, *(key for key in required if key not in properties)]
    every = [Argument(key, properties.get(key, others), key in required, f"value_{tool.number}_{at}") for at, key in enumerate(keys)]
    return Arguments([one for one in every if one.schema is not False or one.is_required], others, has_properties=bool(properties))


def enforced(tool: Offered, rule: Callable[[], Rule], *, otherwise: Callable[[], Rule]) -> Rule:
    """Returns the rule of a tool's arguments, or another one where they cannot be written. Raises ``InvalidRequestError`` then for a tool
    that is strict.
    """
    try:
        return rule()
    except InexpressibleError as error:
        if tool.tool.strict:
            why = f"its arguments cannot be enforced in the form in which this model writes calls: {error}"
            raise (tool.place / "parameters").refusal(why) from error
        return otherwise()


def _object_of(read: ReadSchema) -> Mapping[str, Any]:
    """Returns the schema of arguments as one object's. Raises ``InexpressibleError`` where it is none."""
    schema: Any = read.standing_alone()
    for _ in range(8):
        if not isinstance(schema, dict) or schema.keys() & _COMBINING:
            raise InexpressibleError("they are put together from several schemas, or counted")
        if "$ref" not in schema:
            return schema
        if schema.keys() & {"properties", "required", "additionalProperties"}:
            raise InexpressibleError("they are put together from several schemas")
        schema = read.standing_alone()["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    raise InexpressibleError("its references lead on and on")
