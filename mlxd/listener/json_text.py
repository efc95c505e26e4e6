"""JSON texts that a client sends: bounded before anything is made of them, then decoded without surprises.

What two readers could understand differently (keys twice, NaN, half of a surrogate pair) is refused, for a proxy in front of us may be one
of them.
"""

import contextlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from mlxd.errors import InvalidRequestError
from mlxd.listener.json_shape import Extent, JsonShape, after_blanks
from mlxd.listener.json_turns import TurnDecoder

_OFFSET = re.compile(r" \(byte (\d+)\)$")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_CONSTANT = re.compile(rb"-?(?:NaN|Infinity)")


def parse_json_object(body: bytes | bytearray) -> dict[str, Any]:
    """Returns the object that the text is. Raises ``InvalidRequestError`` with the line and column of what is wrong."""
    begin = after_blanks(body)
    if begin == len(body):
        raise InvalidRequestError("the body is empty; expected a JSON object")
    shape = JsonShape(body)
    shape.check()
    try:
        document = _decoded(body, begin, shape.large)
    except UnicodeDecodeError:
        raise InvalidRequestError(f"the body is not UTF-8: invalid byte at offset {_first_invalid_byte(body)}") from None
    except msgspec.ValidationError:
        raise InvalidRequestError("the body is not valid JSON: a number in it is too large") from None
    except msgspec.DecodeError as error:
        raise InvalidRequestError(_explained(str(error), body)) from None
    if not isinstance(document, dict):
        raise InvalidRequestError(f"the body must be a JSON object, not {json_type(document)}")
    return document


def _decoded(text: bytes | bytearray, begin: int, large: Mapping[int, Extent]) -> Any:
    """Decodes as ``msgspec.json.decode`` does, but what is large in turns."""
    whole = large.get(begin)
    if whole is not None and after_blanks(text, whole.end) == len(text):
        with contextlib.suppress(msgspec.MsgspecError, UnicodeError):
            return TurnDecoder(text, large).value(whole)
    return msgspec.json.decode(text)  # of a large one: raises, and says where


def json_type(value: object) -> str:
    """Names a value's type in JSON's words, with an article."""
    names: dict[type, str] = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _explained(reason: str, body: bytes | bytearray) -> str:
    found = _OFFSET.search(reason)
    offset = int(found[1]) if found else len(body)
    said = reason[: found.start()].removeprefix("JSON is malformed: ") if found else "it ends too early"
    if "surrogate" in said or (found is None and _SURROGATE.search(body, max(0, len(body) - 16))):
        return "the body has a lone surrogate (half of a \\ud800-\\udfff pair) in a string"
    line, column = body.count(b"\n", 0, offset) + 1, offset - body.rfind(b"\n", 0, offset)
    if body.startswith(b"\xef\xbb\xbf"):
        said = "it begins with a BOM"
    elif constant := _CONSTANT.match(body, max(0, offset - 1)) or _CONSTANT.match(body, offset):
        said = f"{constant[0].decode()} is no JSON number"
    return f"the body is not valid JSON: {said} (line {line}, column {column})"


def _first_invalid_byte(body: bytes | bytearray) -> int:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0
