"""JSON texts that a client sends: bounded before anything is made of them, then decoded in one go, without surprises.

What two readers could understand differently (keys twice, NaN, half of a surrogate pair) is refused, for a proxy in front of us may be one
of them. The decoder holds the interpreter for as long as it works, so what it is given is first looked over by ``_Shape``, which lets
others have their turn.
"""

import re
from typing import Any

import msgspec

from mlxd.errors import InvalidRequestError, excerpt

MAX_VALUES = 200_000  # strings, keys, objects and arrays of one text
MAX_NUMBERS = 2**20  # and other items of its arrays; the token ids of a prompt, above all
MAX_DEPTH = 128

_MANY_NUMBERS = 100_000
_TURN = 64 * 1024  # bytes of an array of numbers, decoded at a time
_PLAIN = re.compile(rb'[^"{}\[\]]{0,65536}+')  # at most 64 KiB: the expression engine holds the interpreter too
_REST_OF_STRING = re.compile(rb'(?:[^"\\]{1,256}+|\\.){0,1024}+', re.DOTALL)
_AFTER_KEY = re.compile(rb"[ \t\n\r]*:")
_OFFSET = re.compile(r" \(byte (\d+)\)$")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_CONSTANT = re.compile(rb"-?(?:NaN|Infinity)")
_QUOTE, _BACKSLASH, _BRACKETS = ord('"'), ord("\\"), b"{}[]"


def parse_json_object(body: bytes | bytearray) -> dict[str, Any]:
    """Returns the object that the text is. Raises ``InvalidRequestError`` with the line and column of what is wrong."""
    if not body.strip():
        raise InvalidRequestError("the body is empty; expected a JSON object")
    shape = _Shape(body)
    shape.check()
    try:
        document = _decoded(body) if shape.numbers > _MANY_NUMBERS else msgspec.json.decode(body)
    except UnicodeDecodeError:
        raise InvalidRequestError(f"the body is not UTF-8: invalid byte at offset {_first_invalid_byte(body)}") from None
    except msgspec.ValidationError:
        raise InvalidRequestError("the body is not valid JSON: a number in it is too large") from None
    except msgspec.DecodeError as error:
        raise InvalidRequestError(_explained(str(error), body)) from None
    if not isinstance(document, dict):
        raise InvalidRequestError(f"the body must be a JSON object, not {json_type(document)}")
    return document


def _decoded(text: bytes | bytearray) -> Any:
    """Decodes as ``msgspec.json.decode`` does, but long arrays of numbers in turns: a million of them hold the interpreter for a tenth of a
    second.
    """
    try:
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        return {name: _array_in_turns(bytes(raw)) for name, raw in members.items()}
    except (msgspec.MsgspecError, UnicodeError):
        return msgspec.json.decode(text)  # raises, and says where


def _array_in_turns(text: bytes) -> Any:
    inner = text[1:-1]
    if len(inner) < _TURN or text[:1] != b"[" or b'"' in inner or b"{" in inner:
        return msgspec.json.decode(text)
    if b"[" in inner:
        return [_array_in_turns(bytes(raw)) for raw in msgspec.json.decode(text, type=list[msgspec.Raw])]
    found: list[Any] = []
    at = 0
    while at < len(inner):
        comma = inner.find(b",", at + _TURN)
        end = comma if comma >= 0 else len(inner)
        found += msgspec.json.decode(b"[%b]" % inner[at:end])
        at = end + 1
    return found


def json_type(value: object) -> str:
    """Names a value's type in JSON's words, with an article."""
    names: dict[type, str] = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


class _Shape:
    """The keys of each object, and how much there is, of a text that may be no JSON at all: then the decoder says so."""

    def __init__(self, text: bytes | bytearray) -> None:
        self._text = text
        self._open: list[set[bytes] | None] = []  # the keys so far of each object, None for an array
        self._values = 0
        self.numbers = 0

    def check(self) -> None:
        """Raises ``InvalidRequestError`` where there is too much of anything, or a key twice in one object."""
        at, end = 0, len(self._text)
        while at < end:
            plain = _PLAIN.match(self._text, at)
            assert plain is not None  # noqa: S101 - it matches anything
            self._count_items(plain[0])
            at = plain.end()
            sign = self._text[at] if at < end else None
            if sign == _QUOTE:
                at = self._string(at)
            elif sign is not None and sign in _BRACKETS:
                self._bracket(sign)
                at += 1

    def _count_items(self, plain: bytes) -> None:
        self.numbers += plain.count(b",")
        if self.numbers > MAX_NUMBERS + self._values:
            raise InvalidRequestError(f"the body has too many items in its arrays; at most {MAX_NUMBERS} are taken")

    def _count_value(self) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise InvalidRequestError(f"the body has too many parts; at most {MAX_VALUES} strings, objects and arrays are taken")

    def _bracket(self, sign: int) -> None:
        if sign in b"}]":
            if self._open:
                self._open.pop()
            return
        self._count_value()
        self._open.append(set() if sign == ord("{") else None)
        if len(self._open) > MAX_DEPTH:
            raise InvalidRequestError(f"the body is nested too deeply; at most {MAX_DEPTH} levels are taken")

    def _string(self, begin: int) -> int:
        """Takes note of one string, and returns where it ends."""
        self._count_value()
        end = self._end_of_string(begin)
        keys = self._open[-1] if self._open else None
        if keys is not None and _AFTER_KEY.match(self._text, end):
            key = bytes(self._text[begin:end])
            if b"\\" in key:
                key = _plainly_written(key)
            if key in keys:
                name = excerpt(key[1:-1].decode(errors="replace"), 40)
                raise InvalidRequestError(f"the key {name!r} appears twice in one object", param=name)
            keys.add(key)
        return end

    def _end_of_string(self, begin: int) -> int:
        """Returns the place behind the closing quote; the end of the text where there is none."""
        at = begin + 1
        quote = self._text.find(b'"', at)
        if quote == -1:
            return len(self._text)
        if self._text[quote - 1] != _BACKSLASH:
            return quote + 1
        while found := _REST_OF_STRING.match(self._text, at):
            if found.end() == at:
                break
            at = found.end()
        return at + 1


def _plainly_written(key: bytes) -> bytes:
    """Writes a key with no escapes that need not be, for one key may be written in many ways."""
    try:
        return msgspec.json.encode(msgspec.json.decode(key))
    except (msgspec.MsgspecError, UnicodeError):
        return key  # the decoder will say so


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
