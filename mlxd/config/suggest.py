"""Did you mean: the nearest known key."""

from difflib import get_close_matches

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
    return "unknown key; known here: " + ", ".join(str(entry.key[-1]) for entry in entries(table))


def _near(table: type[Table], name: str) -> list[str]:
    known = [str(entry.key[-1]) for entry in entries(table)]
    return get_close_matches(name.lower(), known, n=1, cutoff=0.6)


def _deeper(table: type[Table], name: str) -> list[str]:
    """Returns the right name in the wrong table, or flattened: ``stream_interval`` or ``log_level`` for ``log.level``."""
    below = [leaf.key for leaf in leaves(table) if ANY_NAME not in leaf.key]
    same = [key for key in below if name in {key[-1], "_".join(map(str, key)), "-".join(map(str, key))}]
    near = get_close_matches(name.lower(), [str(key[-1]) for key in below], n=1, cutoff=0.8)
    return [dotted(key) for key in same or [key for key in below if key[-1] in near]][:3]
