"""The JSON schemas of request bodies, made from the classes that read them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema
from typing_extensions import override

from mlxd.api.fields.tolerance import Rule
from mlxd.api.fields.validation import Strict

_REFERENCE = "#/components/schemas/{model}"
_ANY_KIND = "x-any-kind-of"  # stands for a choice of classes until all of them have schemas, which may lead back to this one


def body_schemas(kinds: Iterable[type[Strict]]) -> tuple[dict[type[Strict], JsonSchemaValue], dict[str, Any]]:
    """Returns a reference to the schema of each kind, and of all that may stand in it; and the schemas by their names."""
    known = dict.fromkeys(kinds)
    while True:
        found, definitions = models_json_schema(
            [(kind, "validation") for kind in known], ref_template=_REFERENCE, schema_generator=_BodySchema
        )
        wanted = dict.fromkeys(kind for choice in _choices(definitions) for kind in _concrete(_BodySchema.chosen[choice]))
        if wanted.keys() <= known.keys():
            references = {kind: found[kind, "validation"] for kind in known}
            return references, _chosen(definitions["$defs"], {_path(kind): references[kind] for kind in known})
        known |= wanted


class _BodySchema(GenerateJsonSchema):
    """Writes what is tolerated beside what is obeyed; and where objects of several classes may stand, a choice that is made later."""

    chosen: dict[str, type[Strict]] = {}  # noqa: RUF012 - classes by their paths

    @override
    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        kind = schema["cls"]
        if issubclass(kind, Strict) and "properties" in found:
            found["properties"] |= {name: _tolerated(rule) for name, rule in kind.tolerated.items() if name not in found["properties"]}
        return found

    @override
    def json_or_python_schema(self, schema: core_schema.JsonOrPythonSchema) -> JsonSchemaValue:
        """Writes ``InstanceOf``, for which pydantic has the schema of the class itself, as a choice of those below it."""
        python = schema["python_schema"]
        if python["type"] != "is-instance":
            return super().json_or_python_schema(schema)
        kind = python["cls"]
        if not issubclass(kind, Strict):
            return {}
        self.chosen[_path(kind)] = kind
        return {_ANY_KIND: _path(kind)}


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _concrete(kind: type[Strict]) -> Iterator[type[Strict]]:
    below = kind.__subclasses__()
    if not below:
        yield kind
    for one in below:
        yield from _concrete(one)


def _choices(value: object) -> Iterator[str]:
    """Yields the choices in a schema."""
    if isinstance(value, dict):
        if _ANY_KIND in value:
            yield value[_ANY_KIND]
        for inner in value.values():
            yield from _choices(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _choices(inner)


def _chosen(value: Any, references: Mapping[str, JsonSchemaValue]) -> Any:
    """Returns a schema with references in the place of its choices."""
    if isinstance(value, list):
        return [_chosen(inner, references) for inner in value]
    if not isinstance(value, dict):
        return value
    rest = {name: _chosen(inner, references) for name, inner in value.items() if name != _ANY_KIND}
    if _ANY_KIND not in value:
        return rest
    return rest | {"anyOf": [references[_path(kind)] for kind in _concrete(_BodySchema.chosen[value[_ANY_KIND]])]}


def _tolerated(rule: Rule) -> JsonSchemaValue:
    said = f"Nothing is done with it. {rule.why}".strip() if rule.is_hint else f"Only {rule.values or 'null'} is taken. {rule.why}".strip()
    return {"description": said}
