"""Literals of Python and JSON, turned into JSON while they come."""

import json
import re
import sys
from collections.abc import Callable

from mlxd.worker.text.parsers.cursor import Cursor
from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.source import Source
from mlxd.worker.text.parsers.tools import MalformedCallError

KEYWORDS = {"True": "true", "False": "false", "None": "null", "true": "true", "false": "false", "null": "null"}
QUOTES = "\"'"

_DEEPEST = 64  # containers in each other
_LONGEST_WORD = 1024  # characters of a number
_WORD_ENDS = " \t\r\n,:()[]{}\"'="
_DECIMAL = re.compile(r"([+-]?)0*(\d+)", re.ASCII)
_FLOAT = re.compile(r"([+-]?)0*(\d*)(?:\.(\d*))?((?:[eE][+-]?\d+)?)", re.ASCII)
_BASED = re.compile(r"([+-]?)(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "a": "\a", "v": "\v", "\n": "", "\\": "\\", "'": "'", '"': '"'}
_CODE_SIZES = {"x": 2, "u": 4, "U": 8}
_HEX = re.compile("[0-9a-fA-F]+")
_OCTAL = "01234567"
_PREFIXES = {"r": True, "R": True, "u": False, "U": False}  # of strings, and whether escapes are text

Write = Callable[[str], None]  # takes JSON, piece by piece
Escape = Callable[[], Steps[None]]  # reads a backslash and what it escapes
Closes = Callable[[int], Steps[bool]]  # whether a quote that so many characters follow ends its string


def quoted(text: str) -> str:
    """Returns ``text`` as the inside of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def number(word: str) -> str | None:
    """Returns the JSON of a number as Python or JSON writes it; None where it is none."""
    word = word.replace("_", "") if re.fullmatch(r"[^_](?:_?[^_])*", word) else word
    if match := _DECIMAL.fullmatch(word):
        return match[1].replace("+", "") + match[2]
    if match := _BASED.fullmatch(word):
        return match[1].replace("+", "") + str(int(match[2], 0))
    match = _FLOAT.fullmatch(word)
    if match is None or not (match[2] or match[3]):
        return None
    fraction = "" if match[3] is None else "." + (match[3] or "0")
    return match[1].replace("+", "") + (match[2] or "0") + fraction + match[4]


def literal_text(text: str) -> str | None:
    """Returns the JSON of the literal that ``text`` is; None where it is none."""
    source = Source()
    source.feed(text)
    source.is_ended = True
    pieces: list[str] = []
    cursor = Cursor(source)
    try:
        for _ in Literals(cursor, pieces.append).value():
            pass
    except MalformedCallError:
        return None
    return None if source.text.strip() else "".join(pieces)


class Literals:
    """A reader of literals, which raises ``MalformedCallError`` where there is none. ``write`` takes their JSON as it comes.

    Models forget to escape the quotes inside a string: one behind which nothing follows that can is a character of the string.
    """

    def __init__(self, cursor: Cursor, write: Write) -> None:
        self._cursor = cursor
        self._write = write
        self._depth = 0

    def value(self, closes: Closes | None = None) -> Steps[None]:
        """Reads one literal. ``closes`` says whether a quote ends a string of which it may be the end."""
        first = yield from self._cursor.skip_space()
        if first and first in QUOTES:
            yield from self._strings(closes or self._closes, self._escape)
        elif first and first in "[({":
            yield from self._container()
        else:
            yield from self._word(closes or self._closes)

    def _closes(self, ahead: int) -> Steps[bool]:
        ahead += yield from self._cursor.space(ahead)
        return (yield from self._cursor.peek(1, ahead)) in ["", *",:)]}"]

    def _word(self, closes: Closes) -> Steps[None]:
        word = yield from self._cursor.until(_WORD_ENDS, _LONGEST_WORD)
        behind = yield from self._cursor.peek()
        if word in _PREFIXES and behind and behind in QUOTES:
            yield from self._strings(closes, self._raw_escape if _PREFIXES[word] else self._escape)
            return
        found = KEYWORDS.get(word) or number(word)
        if found is None:
            raise MalformedCallError("a value is neither a number nor a constant")
        self._write(found)

    # ---- containers ----

    def _container(self) -> Steps[None]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise MalformedCallError("its values are nested too deeply")
        opening = self._cursor.skip()
        if opening == "{":
            yield from self._braces()
        else:
            self._write("[")
            yield from self._items("]" if opening == "[" else ")")
        self._depth -= 1

    def _items(self, end: str) -> Steps[None]:
        separator = ""
        while (yield from self._cursor.skip_space()) != end:
            self._write(separator)
            yield from self.value()
            separator = ","
            if not (yield from self._goes_on(end)):
                break
        self._cursor.skip()
        self._write("]")

    def _goes_on(self, end: str) -> Steps[bool]:
        """Returns whether a comma comes, and reads it; else the end must."""
        behind = yield from self._cursor.skip_space()
        if behind == ",":
            self._cursor.skip()
        elif behind != end:
            raise MalformedCallError(f"neither a comma nor {end!r} follows a value")
        return behind == ","

    def _braces(self) -> Steps[None]:
        """Reads a dictionary, or a set, which is a list in JSON: its first item tells, and is held back so long."""
        if (yield from self._cursor.skip_space()) == "}":
            self._cursor.skip()
            self._write("{}")
            return
        first = yield from self._held_value()
        if (yield from self._cursor.skip_space()) == ":":
            yield from self._pairs(first)
        else:
            yield from self._set(first)

    def _set(self, first: str) -> Steps[None]:
        self._write("[" + first)
        if (yield from self._goes_on("}")):
            self._write("," if (yield from self._cursor.skip_space()) != "}" else "")
            yield from self._items("}")
            return
        self._cursor.skip()
        self._write("]")

    def _pairs(self, key: str) -> Steps[None]:
        self._write("{")
        while True:
            self._write(_key(key) + ":")
            self._cursor.skip()
            yield from self.value()
            if not (yield from self._goes_on("}")) or (yield from self._cursor.skip_space()) == "}":
                break
            self._write(",")
            key = yield from self._held_value()
            if (yield from self._cursor.skip_space()) != ":":
                raise MalformedCallError("a key has no value")
        self._cursor.skip()
        self._write("}")

    def _held_value(self) -> Steps[str]:
        pieces: list[str] = []
        write, self._write = self._write, pieces.append
        yield from self.value()
        self._write = write
        return "".join(pieces)

    # ---- strings ----

    def _strings(self, closes: Closes, escape: Escape) -> Steps[None]:
        """Reads a string, and those that follow it with nothing between, which Python joins."""
        self._write('"')
        yield from self._string(closes, escape)
        while (yield from self._joins()):
            yield from self._cursor.skip_space()
            yield from self._string(closes, self._escape)
        self._write('"')

    def _joins(self) -> Steps[bool]:
        return (yield from self._cursor.peek(1, (yield from self._cursor.space()))) in [*QUOTES]

    def _string(self, closes: Closes, escape: Escape) -> Steps[None]:
        quote = self._cursor.skip()
        if (yield from self._cursor.peek(2)) == quote * 2:
            self._cursor.skip(2)
            yield from self._long_string(quote * 3, escape)
            return
        while True:
            yield from self._characters(quote, escape)
            if (yield from self._ends(quote, closes)):
                self._cursor.skip()
                return
            self._write(quoted(self._cursor.skip()))

    def _long_string(self, end: str, escape: Escape) -> Steps[None]:
        while True:
            yield from self._characters(end[0], escape)
            if (yield from self._cursor.peek(3)) == end:
                self._cursor.skip(3)
                return
            self._write(quoted(self._cursor.skip()))

    def _characters(self, quote: str, escape: Escape) -> Steps[None]:
        """Reads up to the next quote."""
        while True:
            if text := self._cursor.run(quote + "\\"):
                self._write(quoted(text))
            next_one = yield from self._cursor.peek()
            if not next_one:
                raise MalformedCallError("a string has no end")
            if next_one == quote:
                return
            if next_one == "\\":
                yield from escape()

    def _ends(self, quote: str, closes: Closes) -> Steps[bool]:
        """Returns whether the quote here ends its string."""
        if (yield from closes(1)):
            return True
        space = yield from self._cursor.space(1)
        another = yield from self._cursor.peek(1, 1 + space)
        if not another or another not in QUOTES:
            return False
        return space > 0 or another != quote or not (yield from closes(2))

    def _raw_escape(self) -> Steps[None]:
        both = yield from self._cursor.peek(2)
        self._write(quoted(self._cursor.skip(len(both))))

    def _escape(self) -> Steps[None]:
        both = yield from self._cursor.peek(2)
        self._cursor.skip(2)
        if both[1:] in _CODE_SIZES:
            yield from self._code(both)
        elif both[1:] and both[1:] in _OCTAL:
            yield from self._octal(both[1])
        else:
            self._write(quoted(_ESCAPES.get(both[1:], both)))

    def _code(self, introduction: str) -> Steps[None]:
        size = _CODE_SIZES[introduction[1]]
        digits = yield from self._cursor.peek(size)
        if len(digits) < size or not _HEX.fullmatch(digits):
            self._write(quoted(introduction))
            return
        self._cursor.skip(size)
        self._write(_character(int(digits, 16)))

    def _octal(self, digits: str) -> Steps[None]:
        while len(digits) < len("777") and (next_one := (yield from self._cursor.peek())) and next_one in _OCTAL:
            digits += self._cursor.skip()
        self._write(_character(int(digits, 8)))


def _key(literal: str) -> str:
    if literal[0] in "[{":
        raise MalformedCallError("a key is a container")
    return literal if literal[0] == '"' else f'"{literal}"'


def _character(code: int) -> str:
    """Returns a character as JSON: half of a surrogate pair stays spelled out, for its other half follows."""
    if 0xD800 <= code <= 0xDFFF:
        return f"\\u{code:04x}"
    return quoted(chr(code)) if code <= sys.maxunicode else "\ufffd"
