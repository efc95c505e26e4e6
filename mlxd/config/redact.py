"""A snapshot that may be shown: every value, no secret, and where each came from."""

from collections.abc import Mapping
from typing import Any, Literal

from mlxd.config.catalogue import Entry, entries
from mlxd.config.fields import Table, is_secret
from mlxd.config.keys import Key, dotted
from mlxd.config.loader import LoadedConfig
from mlxd.config.schema import Config

REDACTED = "<redacted>"


def redacted(loaded: LoadedConfig) -> dict[str, Any]:
    """Returns what can be written as JSON: ``path``, ``sha256``, ``config``, and ``provenance`` (dotted key of every leaf -> line, or
    ``"default"``).
    """
    values = loaded.config.model_dump(mode="json")
    provenance: dict[str, int | Literal["default"]] = {}
    for entry, parent in _leaves(Config, values, ()):
        name = str(entry.key[-1])
        key = dotted(entry.key)
        provenance[key] = loaded.provenance.get(key, "default")
        if is_secret(entry.info):
            parent[name] = hidden(parent[name])
    return {"path": str(loaded.path), "sha256": loaded.sha256, "config": values, "provenance": provenance}


def redacted_table(table: Table) -> dict[str, Any]:
    """Returns what one table sets beside its defaults, as it is written in a file, its secrets hidden."""
    values = table.model_dump(mode="json", exclude_defaults=True)
    for entry in entries(type(table)):
        name = str(entry.key[-1])
        if name in values and is_secret(entry.info):
            values[name] = hidden(values[name])
    return values


def hidden(value: Any) -> Any:
    """Returns what is shown of a secret, or of a list of secrets: whether and how many are set stays visible."""
    if isinstance(value, list):
        return [REDACTED for _ in value]
    return REDACTED if value else value


def _leaves(kind: type[Table], values: dict[str, Any], at: Key) -> list[tuple[Entry, dict[str, Any]]]:
    """Returns every leaf with the table it stands in. Tables of an array are keyed by their names."""
    found: list[tuple[Entry, dict[str, Any]]] = []
    for entry in entries(kind, at):
        below = values[str(entry.key[-1])]
        if entry.kind is None:
            found.append((entry, values))
            continue
        for key, table in _tables(entry, below).items():
            found += _leaves(entry.kind, table, key)
    return found


def _tables(entry: Entry, below: Any) -> Mapping[Key, dict[str, Any]]:
    if entry.is_array:
        return {(*entry.key, table["name"]): table for table in below}
    return {(*entry.key, name): table for name, table in below.items()} if entry.is_map else {entry.key: below}
