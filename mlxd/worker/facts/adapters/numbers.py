"""Numbers of an adapter's configuration."""

import math

from mlxd.worker.facts.json_document import JsonDocument


def finite_number(document: JsonDocument, key: str) -> float:
    """Returns a number. Raises ``ModelSourceError`` where there is none, or one that is infinite."""
    value = document.get(key)
    if not is_finite_number(value):
        raise document.wrong(key, "a number")
    return float(value)


def is_finite_number(value: object) -> bool:
    """Tells whether a value of a JSON file is a number, and finite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
