"""Pydantic's errors in the words of this program: what was found, and what it must be."""

from collections.abc import Callable
from typing import Any

from pydantic import PlainSerializer
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mlxd.config.catalogue import field_at, is_array_of_tables
from mlxd.config.document import Document
from mlxd.config.fields import Table, example, is_secret
from mlxd.config.keys import Key, dotted
from mlxd.config.problems import Problem, kind_of, shown
from mlxd.config.suggest import unknown_key

_TYPES = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be a string in quotes",
    "tuple_type": "must be an array",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "finite_number": "must be a finite number",
}
_BOUNDS = {
    "greater_than": ("gt", "must be more than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be at most"),
}


def explain(error: ErrorDetails, root: type[Table], at: Key, document: Document) -> Problem:
    """Says what is wrong in the words of this program. ``at`` is the key of the table that was validated, ``root`` the schema of the whole
    file.
    """
    key = _key_in_file((*at, *error["loc"]), document)
    info = field_at(root, key)
    if error["type"] == "missing":
        return _missing((*at, *error["loc"]), root)
    if error["type"] == "extra_forbidden":
        return Problem(key, unknown_key(root, key))
    if not key:
        return Problem(key, _expected(error, info))
    value = key[-1] if error["loc"][-1] == "[key]" else document.value_of(key)
    found = kind_of(value) if info and is_secret(info) else shown(value)
    if error["type"] == "tuple_type" and info and is_array_of_tables(info):
        return Problem(key, f"found {found}; must be an array of tables, each under a heading of its own: [[{dotted(key)}]]")
    return Problem(key, f"found {found}; {_expected(error, info)}")


def _key_in_file(location: Key, document: Document) -> Key:
    """Returns the key without what pydantic adds: names of union members, ``[key]``."""
    key: Key = ()
    for part in location:
        try:
            document.value_of((*key, part))
        except KeyError:
            continue
        key = (*key, part)
    return key


def _missing(key: Key, root: type[Table]) -> Problem:
    info = field_at(root, key)
    return Problem(key, f"missing; set it, for example {key[-1]} = {shown(example(info) if info else None)}")


def _expected(error: ErrorDetails, info: FieldInfo | None) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _TYPES:
        return _TYPES[kind]
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{words} {_unit_text(info)(context[name])}"
    if kind == "literal_error" and info:
        return "must be " + one_of(info)
    return str(context.get("error") or error["msg"])


def one_of(info: FieldInfo) -> str:
    """Names the values of a ``Literal``."""
    *most, last = [shown(value) for value in getattr(info.annotation, "__args__", ())]
    return f"{', '.join(most)} or {last}" if most else last


def _unit_text(info: FieldInfo | None) -> Callable[[Any], str]:
    """Returns how a bound is written: in the field's own unit."""
    for mark in info.metadata if info else ():
        if isinstance(mark, PlainSerializer):
            write: Any = mark.func  # of one argument, in units.py
            return lambda bound: shown(write(bound))
    return lambda bound: f"{bound:g}" if isinstance(bound, float) else str(bound)
