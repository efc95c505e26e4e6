"""Validation that finds every problem: what is wrong is reported and taken out, and the rest goes on to the next check."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from mlxd.config.catalogue import field_at
from mlxd.config.document import Document
from mlxd.config.explain import explain
from mlxd.config.fields import Table, example
from mlxd.config.keys import Key
from mlxd.config.problems import Problem, render
from mlxd.config.suggest import unknown_key
from mlxd.errors import ConfigError

T = TypeVar("T", bound=Table)


@dataclass(frozen=True)
class Validated(Generic[T]):
    """The table, with the schema's own value in place of each that was wrong."""

    table: T
    problems: list[Problem]


def validate(kind: type[T], values: dict[str, Any], document: Document, *, root: type[Table], at: Key = ()) -> Validated[T]:
    """Validates ``values``, which stand at ``at`` in the file. What is wrong is taken out of ``values``.

    Raises ``ConfigError`` where a default cannot hold on this machine.
    """
    problems = _reserved_keys(values, root, at)
    try:
        return Validated(kind.model_validate(values), problems)
    except ValidationError as error:
        problems += [explain(detail, root, at, document) for detail in error.errors(include_url=False)]
    if any(not problem.key for problem in problems):  # a default that this machine cannot have: nothing valid can be made of the rest
        raise ConfigError(render(problems, document))
    for problem in problems:
        mend(root, values, problem.key, at)
    return Validated(kind.model_validate(values), problems)


def mend(root: type[Table], values: dict[str, Any], key: Key, at: Key = ()) -> None:
    """Takes the field out, so that its default holds; puts an example in where it has none."""
    field = key
    while field and isinstance(field[-1], int):  # an item of an array goes with all of it
        field = field[:-1]
    parent = _parent(values, field[len(at) :])
    info = field_at(root, field)
    if parent is None:
        return  # taken out with the table around it
    if info and info.is_required():
        parent[field[-1]] = example(info)
    else:
        parent.pop(field[-1], None)


def _reserved_keys(values: dict[str, Any], root: type[Table], at: Key) -> list[Problem]:
    """Reports top-level keys that pydantic-settings would take for arguments of its own, such as ``_env_file``."""
    reserved = [name for name in values if name.startswith("_")]
    for name in reserved:
        del values[name]
    return [Problem((*at, name), unknown_key(root, (*at, name))) for name in reserved]


def _parent(values: dict[str, Any], key: Key) -> dict[Any, Any] | None:
    table: Any = values
    for part in key[:-1]:
        if isinstance(table, list) and isinstance(part, int) and part < len(table):
            table = table[part]
        else:
            table = table.get(part) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else None
