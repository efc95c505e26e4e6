"""JSON whose form is the client's own (schemas, arguments, variables of a template), as the wire can carry it."""

from typing import Any

import msgspec

from mlxd.api.fields.validation import problem


def portable(value: Any) -> Any:
    """Returns the value with whole numbers of more than 64 bits as floats, which is what most readers of JSON make of them. To be raised by
    validators: a problem where one is larger than any float.
    """
    try:
        msgspec.msgpack.encode(value)
    except OverflowError:
        return _with_floats(value)
    return value


def _with_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_floats(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_floats(inner) for inner in value]
    if type(value) is int and not -(2**63) <= value < 2**64:
        try:
            return float(value)
        except OverflowError:
            raise problem("holds a number that is too large") from None
    return value
