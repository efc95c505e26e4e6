"""Did you mean: the nearest known key."""

from difflib import get_close_matches
from functools import cache

from mlxd.config.catalogue import ANY_NAME, entries, leaves, table_at
from mlxd.config.fields import Table
from mlxd.config.keys import Key, dotted


def unknown_key(root: type[Table], key: Key) -> str:
    """Says what is wrong with a key that the schema does not have, and which one may be meant."""
    table = table_at(root, key[:-1])
    if table is None:
        return "unknown key"
    found = _near(table, str(key[-1])) or _deeper(table, str(key[-1]))
    if found:
        return "unknown key; did you mean " + " or ".join(f'"{name}"' for name in found) + "?"
    return "unknown key; known here: " + ", ".join(_names(table))


def _near(table: type[Table], name: str) -> list[str]:
    return get_close_matches(name.lower(), _names(table), n=1, cutoff=0.6)


def _deeper(table: type[Table], name: str) -> list[str]:
    """Returns the right name in the wrong table, or flattened: ``stream_interval`` or ``log_level`` for ``log.level``."""
    below = _leaves_below(table)
    same = [key for key, names in below.items() if name in names]
    near = get_close_matches(name.lower(), [str(key[-1]) for key in below], n=1, cutoff=0.8)
    return [dotted(key) for key in same or [key for key in below if key[-1] in near]][:3]


@cache
def _names(table: type[Table]) -> tuple[str, ...]:
    return tuple(str(entry.key[-1]) for entry in entries(table))


@cache
def _leaves_below(table: type[Table]) -> dict[Key, frozenset[str]]:
    """Returns the leaves, none of a table by a free name, each with the names by which it may be meant."""
    keys = [leaf.key for leaf in leaves(table) if ANY_NAME not in leaf.key]
    return {key: frozenset({str(key[-1]), "_".join(map(str, key)), "-".join(map(str, key))}) for key in keys}
