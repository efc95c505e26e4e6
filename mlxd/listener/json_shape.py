"""What there is in a JSON text, told without decoding it: bounded, no key twice in an object, and where its large values can be parted."""

import re
from dataclasses import dataclass

import msgspec

from mlxd.errors import InvalidRequestError, excerpt

MAX_VALUES = 200_000  # strings, keys, objects and arrays of one text
MAX_NUMBERS = 2**20  # and other items of its arrays; the token ids of a prompt, above all
MAX_DEPTH = 128
MAX_KEY = 2**20  # bytes
TURN = 64 * 1024  # bytes that are decoded at a time

_PLAIN = re.compile(rb'[^"{}\[\]]{0,65536}+')  # at most 64 KiB: the expression engine holds the interpreter too
_BLANK = re.compile(rb"[ \t\n\r]{0,65536}+")
_REST_OF_STRING = re.compile(rb'(?:[^"\\]{1,256}+|\\.){0,1024}+', re.DOTALL)
_AFTER_KEY = re.compile(rb"[ \t\n\r]*:")
_QUOTE, _BACKSLASH, _BRACKETS = ord('"'), ord("\\"), b"{}[]"


@dataclass(slots=True)
class Extent:
    """Where a value is, from ``begin`` to ``end`` (exclusive), and at which commas of its own it can be parted: into pieces of about a
    turn, or with one large value as their last.
    """

    begin: int
    end: int = 0
    cuts: tuple[int, ...] = ()
    keys: set[bytes] | None = None  # those so far; None of anything but an object

    @property
    def parted(self) -> int:
        """Returns where its last piece begins."""
        return self.cuts[-1] if self.cuts else self.begin


class JsonShape:
    """A look over a text that may be no JSON at all, which the decoder says then. Others have their turn meanwhile.

    ``large`` are the values that take more than a turn, by where they begin.
    """

    def __init__(self, text: bytes | bytearray) -> None:
        self.large: dict[int, Extent] = {}
        self._text = text
        self._open: list[Extent] = []
        self._values = 0
        self._numbers = 0

    def check(self) -> None:
        """Raises ``InvalidRequestError`` where there is too much of anything, or a key twice in one object."""
        at, end = 0, len(self._text)
        while at < end:
            plain = _PLAIN.match(self._text, at)
            assert plain is not None  # noqa: S101 - it matches anything
            self._count_items(plain[0])
            if self._open and plain.end() - self._open[-1].parted > TURN:
                self._part(at, plain.end())
            at = plain.end()
            sign = self._text[at] if at < end else None
            if sign == _QUOTE:
                at = self._string(at)
            elif sign is not None and sign in _BRACKETS:
                self._bracket(sign, at)
                at += 1

    def _count_items(self, plain: bytes) -> None:
        self._numbers += plain.count(b",")
        if self._numbers > MAX_NUMBERS + self._values:
            raise InvalidRequestError(f"the body has too many items in its arrays; at most {MAX_NUMBERS} are taken")

    def _count_value(self) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise InvalidRequestError(f"the body has too many parts; at most {MAX_VALUES} strings, objects and arrays are taken")

    def _part(self, begin: int, end: int) -> None:
        comma = self._text.find(b",", begin, end)
        if comma >= 0:
            self._open[-1].cuts += (comma,)

    def _bracket(self, sign: int, at: int) -> None:
        if sign in b"}]":
            if self._open:
                self._note(self._open.pop(), at + 1)
            return
        self._count_value()
        self._open.append(Extent(at, keys=set() if sign == ord("{") else None))
        if len(self._open) > MAX_DEPTH:
            raise InvalidRequestError(f"the body is nested too deeply; at most {MAX_DEPTH} levels are taken")

    def _note(self, value: Extent, end: int) -> None:
        if end - value.begin > TURN:
            value.end = end
            self.large[value.begin] = value

    def _string(self, begin: int) -> int:
        """Takes note of one string, and returns where it ends."""
        self._count_value()
        end = self._end_of_string(begin)
        keys = self._open[-1].keys if self._open else None
        if keys is not None and _AFTER_KEY.match(self._text, end):
            self._key(begin, end, keys)
        elif end - begin > TURN:
            self._note(Extent(begin), end)
        return end

    def _key(self, begin: int, end: int, keys: set[bytes]) -> None:
        if end - begin > MAX_KEY:
            raise InvalidRequestError(f"the body has a key of more than {MAX_KEY} bytes")
        key = bytes(self._text[begin:end])
        if b"\\" in key:
            key = _plainly_written(key)
        if key in keys:
            name = excerpt(key[1:-1].decode(errors="replace"), 40)
            raise InvalidRequestError(f"the key {name!r} appears twice in one object", param=name)
        keys.add(key)

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


def after_blanks(text: bytes | bytearray, begin: int = 0) -> int:
    """Returns where the first byte is that is no white space; the end of the text where there is none."""
    at = begin
    while (found := _BLANK.match(text, at)) and found.end() > at:
        at = found.end()
    return at


def _plainly_written(key: bytes) -> bytes:
    """Writes a key with no escapes that need not be, for one key may be written in many ways."""
    try:
        return msgspec.json.encode(msgspec.json.decode(key))
    except (msgspec.MsgspecError, UnicodeError):
        return key  # the decoder will say so
