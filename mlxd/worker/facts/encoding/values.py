"""Values of configurations that have to be there, or are one of few."""

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.json_document import JsonDocument


def flag(document: JsonDocument, key: str, *, default: bool) -> bool:
    """Returns true or false, the ``default`` where there is none. Raises ``ModelSourceError`` where it is something else."""
    value = document.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise document.wrong(key, "true or false")
    return value


def size(document: JsonDocument, *keys: str) -> int:
    """Returns the whole number above zero under the first of the ``keys`` that is there. Raises ``ModelSourceError`` without any."""
    for key in keys:
        if (found := document.count(key)) is not None:
            return found
    raise ModelSourceError(f'{document.path} has no "{document.prefix}{keys[0]}"; is this the configuration of such a model?')


def number(document: JsonDocument, key: str, *, default: float) -> float:
    """Returns a number above zero, the ``default`` where there is none. Raises ``ModelSourceError`` where it is something else."""
    value = document.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise document.wrong(key, "a number above zero")
    return float(value)


def rotation_base(config: JsonDocument, kind: str, key: str, default: float) -> float:
    """Returns the base of the frequencies by which layers of a kind rotate, which older configurations have at ``key``. Raises
    ``ModelSourceError`` for another kind of rotation than the plain one.
    """
    default = number(config, key, default=default)
    rotary = config.part("rope_parameters")
    part = rotary.part(kind) if rotary is not None else None
    if part is None:
        return default
    if part.text("rope_type") not in (None, "default"):
        raise part.wrong("rope_type", '"default"')
    return number(part, "rope_theta", default=default)
