"""The JSON Schema of the file, for editors. ``config/mlxd.schema.json`` is ``python -m mlxd.config.publish.json_schema``."""

import json
import sys
from typing import Any

from mlxd.config.catalogue import ANY_NAME, defaults_as_written, entries
from mlxd.config.fields import Table, example, reload_class
from mlxd.config.schema import Config, ModelTable
from mlxd.config.values import KEY_NAME_PATTERN, NAME_PATTERN

# What pydantic writes and we say otherwise, and our own marks of a field.
_REPLACED = (
    "title",
    "description",
    "default",
    "reload",
    "secret",
    "example",
    "default_text",
)
_RELOAD = {
    "live": "Takes effect on reload, at the next request or step.",
    "model": "A change gives the model a new worker.",
    "listener": "A change opens the new listener before it closes the old one.",
    "daemon": "A change needs a restart of the daemon.",
}


def json_schema() -> dict[str, Any]:
    """Returns the schema in draft 2020-12. Unknown keys are refused."""
    schema = Config.model_json_schema()
    tables = {kind.__name__: schema["$defs"][kind.__name__] for kind in _tables(Config)}
    for kind in _tables(Config):
        described = tables[kind.__name__]
        described.pop("title")
        described["properties"] = _properties(kind, described["properties"])
    tables[ModelTable.__name__]["properties"]["adapters"] |= {"propertyNames": {"pattern": f"^{KEY_NAME_PATTERN}$"}}
    root = {name: _without(field, "title", "default") for name, field in schema["properties"].items()}
    root["models"] |= {"propertyNames": {"pattern": f"^{NAME_PATTERN}$", "maxLength": 128}, "minProperties": 1}
    for several in (root["models"], tables[ModelTable.__name__]["properties"]["adapters"]):
        several["additionalProperties"] = several.pop("patternProperties").popitem()[1]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mlxd.toml",
        "description": "Configuration of mlxd.",
        "type": "object",
        "additionalProperties": False,
        "properties": root,
        "required": ["models"],
        "$defs": dict(sorted(tables.items())),
    }


def json_schema_text() -> str:
    """Returns the schema as it is committed."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _tables(kind: type[Table]) -> list[type[Table]]:
    """Returns every table below ``kind``, each once."""
    found: dict[type[Table], None] = {}
    for entry in entries(kind, (ANY_NAME,)):
        if entry.kind:
            found |= dict.fromkeys([entry.kind, *_tables(entry.kind)])
    return list(found)


def _properties(kind: type[Table], properties: dict[str, Any]) -> dict[str, Any]:
    defaults = defaults_as_written(kind)
    return {
        str(entry.key[-1]): _property(properties[str(entry.key[-1])], entry.info, defaults.get(str(entry.key[-1])))
        for entry in entries(kind)
    }


def _property(field: dict[str, Any], info: Any, default: Any) -> dict[str, Any]:
    reload = reload_class(info)
    if reload is None:
        return _without(field, "title", "default", "secret")  # a table, or an array of tables
    parts = [info.description, _RELOAD[reload]]
    kept = _without(field, *_REPLACED)
    if example(info) is not None:
        kept["examples"] = [example(info)]
    if default is not None:
        kept["default"] = default
    return {"description": " ".join(parts), **_not_null(kept)}


def _not_null(field: dict[str, Any]) -> dict[str, Any]:
    """Leaves out null, which TOML does not have: a field that may be unset is left out."""
    members = [member for member in field.get("anyOf", []) if member != {"type": "null"}]
    if len(members) != 1:
        return field
    only: dict[str, Any] = members[0]
    return only | _without(field, "anyOf")


def _without(field: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in field.items() if name not in names}


if __name__ == "__main__":
    sys.stdout.write(json_schema_text())
