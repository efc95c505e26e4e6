"""What the schema declares, found by key: for messages, defaults, provenance and the generated references."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from mlxd.config.fields import NamedTable, Table, default_text, example
from mlxd.config.keys import Key

ANY_NAME = "*"  # stands for the name of a model, or of a table of an array, in the key of a declared field


@dataclass(frozen=True)
class Entry:
    """A field at its key. ``kind`` is the table below it, None for a leaf; ``is_map`` says that tables by free names are below it,
    ``is_array`` that it is an array of named tables.
    """

    key: Key
    info: FieldInfo
    kind: type[Table] | None
    is_map: bool
    is_array: bool = False

    @property
    def is_several(self) -> bool:
        """Tells whether any number of tables are below it."""
        return self.is_map or self.is_array


def entries(kind: type[Table], at: Key = ()) -> Iterator[Entry]:
    """Yields the fields of one table, not of those below it."""
    for name, info in kind.model_fields.items():
        yield _entry((*at, name), info)


def leaves(kind: type[Table], at: Key = ()) -> Iterator[Entry]:
    """Yields every leaf field below ``kind``; the name of a model, or of a table of an array, is ``ANY_NAME``."""
    for entry in entries(kind, at):
        if entry.kind is None:
            yield entry
        else:
            yield from leaves(entry.kind, (*entry.key, ANY_NAME) if entry.is_several else entry.key)


def leaves_set(kind: type[Table], values: Mapping[str, Any], at: Key = ()) -> Iterator[Entry]:
    """Yields every leaf field that ``values`` sets, at its key: in an array of tables, by their positions. Unknown keys and misplaced
    values are left to validation.
    """
    for entry in entries(kind, at):
        value = values.get(str(entry.key[-1]))
        if value is None:
            continue
        if entry.kind is None:
            yield entry
            continue
        for key, below in _tables_in(entry, value):
            if isinstance(below, Mapping):
                yield from leaves_set(entry.kind, below, key)


def _tables_in(entry: Entry, value: Any) -> Iterable[tuple[Key, Any]]:
    if entry.is_array:
        return [((*entry.key, at), below) for at, below in enumerate(value)] if isinstance(value, list) else []
    if entry.is_map:
        return [((*entry.key, name), below) for name, below in value.items()] if isinstance(value, Mapping) else []
    return [(entry.key, value)]


def table_at(kind: type[Table], key: Key) -> type[Table] | None:
    """Returns the table that a key names; None where it names a leaf, several tables or nothing."""
    current: type[Table] | None = kind
    is_several = False
    for part in key:
        if is_several:
            is_several = False
            continue
        entry = next((entry for entry in entries(current) if entry.key == (part,)), None) if current else None
        if entry is None:
            return None
        current, is_several = entry.kind, entry.is_several
    return None if is_several else current


def field_at(kind: type[Table], key: Key) -> FieldInfo | None:
    """Returns the declaration of the field a key names or lies in (array items); None where there is none."""
    while key and isinstance(key[-1], int):
        key = key[:-1]
    parent = table_at(kind, key[:-1]) if key else None
    return parent.model_fields.get(str(key[-1])) if parent else None


def defaults_as_written(kind: type[Table]) -> dict[str, Any]:
    """Returns the default of each leaf of one table as it stands in a file; None where it has none or is not set by default."""
    leaf_fields = {str(entry.key[-1]): entry.info for entry in entries(kind) if entry.kind is None}
    required = {name: example(info) for name, info in leaf_fields.items() if info.is_required()}
    of_machine = {name: example(info) for name, info in leaf_fields.items() if default_text(info) is not None}  # may not exist on this one
    values = kind.model_validate(required | of_machine).model_dump(mode="json", include=set(leaf_fields))
    return {name: None if name in required else default_text(info) or values[name] for name, info in leaf_fields.items()}


def is_array_of_tables(info: FieldInfo) -> bool:
    """Tells whether any number of named tables may stand there, in an array."""
    return _entry((), info).is_array


def _entry(key: Key, info: FieldInfo) -> Entry:
    annotation = info.annotation
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return Entry(key, info, annotation, is_map=False)
    if get_origin(annotation) is dict:
        return Entry(key, info, get_args(annotation)[1], is_map=True)
    item = next(iter(get_args(annotation)), None) if get_origin(annotation) is tuple else None
    if isinstance(item, type) and issubclass(item, NamedTable):
        return Entry(key, info, item, is_map=False, is_array=True)
    return Entry(key, info, None, is_map=False)
