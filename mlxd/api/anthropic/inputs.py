"""The input of a call: an object, also where the JSON text of its arguments was cut off, or is no object."""

import re
from typing import Any

import msgspec

_STRING = r'"(?:[^"\\]|\\.)*"'
_SCALAR = r"(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?=[\s,\]}]|$)"
_TOKEN = re.compile(rf"\s*(?:(?P<string>{_STRING})|(?P<scalar>{_SCALAR})|(?P<sign>[{{}}\[\],:]))", re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}


def call_input(arguments: str) -> dict[str, Any]:
    """Returns the object that the text is; of one that was cut off, what is complete of it, as SDKs read the end of a stream. Any other
    value is that of a single argument, so that nothing of it is lost.
    """
    if not arguments.strip():
        return {}
    for text in (arguments, _completed(arguments)):
        try:
            value = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            continue
        return value if isinstance(value, dict) else {"arguments": value}
    return {"arguments": arguments}


def _completed(text: str) -> str:
    """Returns the text up to the last value that is whole, with what was opened closed."""
    closing: list[str] = []
    best, at, is_key = "", 0, False
    while found := _TOKEN.match(text, at):
        at, sign = found.end(), found["sign"]
        if sign in _CLOSING:
            closing.append(_CLOSING[sign])
            is_key = sign == "{"
        elif sign in ("}", "]"):
            del closing[-1:]
        elif sign is not None:
            is_key = sign == "," and closing[-1:] == ["}"]
            continue
        if is_key and sign is None:
            continue
        best = text[:at] + "".join(reversed(closing))
    return best
