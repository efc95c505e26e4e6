"""Every field in one TOML file. ``config/mlxd.full.toml`` is ``python -m mlxd.config.publish.reference``."""

import json
import sys
from textwrap import wrap
from typing import Any

from mlxd.config.catalogue import ANY_NAME, Entry, defaults_as_written, entries
from mlxd.config.fields import Table, example, reload_class
from mlxd.config.keys import Key, dotted
from mlxd.config.schema import Config

_WIDTH = 120
_MODEL = "smollm2"
_OF_MODEL = "sql"  # one of what a model has several of, by names
_HEAD = """\
#:schema ./mlxd.schema.json

# Every field of mlxd.toml with its default. A file needs only what differs, and at least one model.
# Generated from the schema by `python -m mlxd.config.publish.reference`; do not edit.
#
# In brackets: what a change of the field costs once the file is reloaded.
#   live: takes effect on the next request or step     model: that model gets a new worker
#   listener: the new socket is bound before the old one closes     daemon: needs a restart
"""


def reference_toml() -> str:
    """Returns the file, in which fields that have no default are commented out."""
    return _HEAD + "".join(_table(entry) for entry in entries(Config))


def _table(entry: Entry) -> str:
    if entry.kind is None:
        return ""
    key: Key = tuple(_MODEL if part == ANY_NAME else part for part in ((*entry.key, ANY_NAME) if entry.is_map else entry.key))
    if entry.is_array:
        return _array(entry.kind, key)
    fields = [below for below in entries(entry.kind, key) if below.kind is None]
    tables = [below for below in entries(entry.kind, key) if below.kind is not None]
    text = f"\n{_comment(_summary(entry.kind))}[{dotted(key)}]\n"
    text += "".join(_field(field, entry.kind) for field in fields)
    if entry.is_map:
        names = ", ".join(str(below.key[-1]) for below in tables if not below.is_several)
        told = _comment(f"Every table of [defaults] ({names}) may follow, for this model only, such as [{dotted(key)}.sampling].")
        several = "".join(_several(below.kind, below.key) for below in tables if below.is_map and below.kind)
        return f"{text}\n{told}{several}"
    return text + "".join(_table(below) for below in tables)


def _array(kind: type[Table], key: Key) -> str:
    """Returns one table of an array, all of it commented out: by default there is none."""
    return f"\n{_comment(_summary(kind) + ' There may be any number.')}# [[{dotted(key)}]]\n{_commented(kind, key)}"


def _several(kind: type[Table], key: Key) -> str:
    """Returns one of the tables that a model has by names of its own, all of it commented out: by default there is none."""
    return f"\n{_comment(_summary(kind) + ' There may be any number.')}# [{dotted((*key, _OF_MODEL))}]\n{_commented(kind, key)}"


def _commented(kind: type[Table], key: Key) -> str:
    fields = "".join(_field(field, kind) for field in entries(kind, key))
    return "".join(line if line.startswith("#") else f"# {line}" for line in fields.splitlines(keepends=True))


def _summary(kind: type[Table]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0].replace("``", "")


def _field(entry: Entry, kind: type[Table]) -> str:
    name, info = str(entry.key[-1]), entry.info
    default = defaults_as_written(kind)[name]
    reload = reload_class(info)
    text = _comment(f"[{reload}] {info.description}")
    if default is None and not info.is_required():
        return f"{text}# {name} = {_value(example(info))}  # not set by default\n"
    return f"{text}{name} = {_value(example(info) if default is None else default)}\n"


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)  # our defaults read the same in TOML


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in wrap(text, _WIDTH - 2, break_long_words=False, break_on_hyphens=False))


if __name__ == "__main__":
    sys.stdout.write(reference_toml())
