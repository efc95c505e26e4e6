"""What the schema declares, found by key: for messages, defaults, provenance and the generated references."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from mlxd.config.fields import Table, default_text, example
from mlxd.config.keys import Key

ANY_NAME = "*"  # stands for a model's name in the key of a declared field


@dataclass(frozen=True)
class Entry:
    """A field at its key. ``kind`` is the table below it, None for a leaf; ``is_map`` says that tables by free names are below it."""

    key: Key
    info: FieldInfo
    kind: type[Table] | None
    is_map: bool


def entries(kind: type[Table], at: Key = ()) -> Iterator[Entry]:
    """Yields the fields of one table, not of those below it."""
    for name, info in kind.model_fields.items():
        below, is_map = _table_below(info.annotation)
        yield Entry((*at, name), info, below, is_map)


def leaves(kind: type[Table], at: Key = ()) -> Iterator[Entry]:
    """Yields every leaf field below ``kind``; a model's name is ``ANY_NAME``."""
    for entry in entries(kind, at):
        if entry.kind is None:
            yield entry
        else:
            yield from leaves(entry.kind, (*entry.key, ANY_NAME) if entry.is_map else entry.key)


def leaves_set(kind: type[Table], values: Mapping[str, Any], at: Key = ()) -> Iterator[Entry]:
    """Yields every leaf field that ``values`` sets, at its key. Unknown keys and misplaced values are left to validation."""
    for entry in entries(kind, at):
        value = values.get(str(entry.key[-1]))
        if value is None:
            continue
        if entry.kind is None:
            yield entry
        elif isinstance(value, Mapping):
            tables = value.items() if entry.is_map else [(None, value)]
            for name, below in tables:
                if isinstance(below, Mapping):
                    yield from leaves_set(entry.kind, below, entry.key if name is None else (*entry.key, name))


def table_at(kind: type[Table], key: Key) -> type[Table] | None:
    """Returns the table that a key names; None where it names a leaf, a map of tables or nothing."""
    current: type[Table] | None = kind
    is_map = False
    for part in key:
        if is_map:
            is_map = False
            continue
        entry = next((entry for entry in entries(current) if entry.key == (part,)), None) if current else None
        if entry is None:
            return None
        current, is_map = entry.kind, entry.is_map
    return None if is_map else current


def field_at(kind: type[Table], key: Key) -> FieldInfo | None:
    """Returns the declaration of the field a key names or lies in (array items); None where there is none."""
    names = tuple(part for part in key if not isinstance(part, int))
    parent = table_at(kind, names[:-1]) if names else None
    return parent.model_fields.get(names[-1]) if parent else None


def defaults_as_written(kind: type[Table]) -> dict[str, Any]:
    """Returns the default of each leaf of one table as it stands in a file; None where it has none or is not set by default."""
    leaf_fields = {str(entry.key[-1]): entry.info for entry in entries(kind) if entry.kind is None}
    required = {name: example(info) for name, info in leaf_fields.items() if info.is_required()}
    of_machine = {name: example(info) for name, info in leaf_fields.items() if default_text(info) is not None}  # may not exist on this one
    values = kind.model_validate(required | of_machine).model_dump(mode="json", include=set(leaf_fields))
    return {name: None if name in required else default_text(info) or values[name] for name, info in leaf_fields.items()}


def _table_below(annotation: Any) -> tuple[type[Table] | None, bool]:
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return annotation, False
    if get_origin(annotation) is dict:
        return get_args(annotation)[1], True
    return None, False
