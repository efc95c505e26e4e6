"""Numbers of an adapter's configuration."""

import sys

from mlxd.worker.facts.json_document import JsonDocument

_LARGEST_RANK = 2**31 - 1


def finite_number(document: JsonDocument, key: str) -> float:
    """Returns a number. Raises ``ModelSourceError`` where there is none, or one that is infinite."""
    value = document.get(key)
    if not is_finite_number(value):
        raise document.wrong(key, "a number")
    return float(value)


def is_finite_number(value: object) -> bool:
    """Tells whether a value of a JSON file is a number, and one that a float can be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def is_rank(value: object) -> bool:
    """Tells whether a value of a JSON file is a rank that a layer can have."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST_RANK
