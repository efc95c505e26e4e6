"""Arguments as Gemma writes them, turned into JSON while they come: keys without quotes, and strings between delimiters of their own."""

import json
import re
from collections.abc import Callable

from mlxd.worker.text.parsers.cursor import Cursor
from mlxd.worker.text.parsers.literals import KEYWORDS, number, quoted
from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.tools import MalformedCallError

DELIMITERS = ("<escape>", '<|"|>')  # of FunctionGemma and Gemma 4

_DEEPEST = 64  # containers in each other
_LONGEST_WORD = 4096  # characters without a delimiter
_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})')


class GemmaValues:
    """A reader of arguments, which raises ``MalformedCallError`` where there are none. ``write`` takes their JSON as it comes."""

    def __init__(self, cursor: Cursor, write: Callable[[str], None]) -> None:
        self._cursor = cursor
        self._write = write
        self._depth = 0

    def members(self, end: str) -> Steps[None]:
        """Reads the members of an object up to ``end``, and that too; its beginning is read."""
        self._write("{")
        separator = ""
        while (yield from self._cursor.skip_space()) != end:
            self._write(separator + json.dumps((yield from self._key()), ensure_ascii=False) + ": ")
            yield from self._value()
            separator = ", "
            yield from self._comma(end)
        self._cursor.skip()
        self._write("}")

    def _items(self) -> Steps[None]:
        self._write("[")
        separator = ""
        while (yield from self._cursor.skip_space()) != "]":
            self._write(separator)
            yield from self._value()
            separator = ", "
            yield from self._comma("]")
        self._cursor.skip()
        self._write("]")

    def _comma(self, end: str) -> Steps[None]:
        """Reads the comma behind a value. Behind a string the models forget it at times."""
        behind = yield from self._cursor.skip_space()
        if behind == ",":
            self._cursor.skip()
        elif not behind or behind in set("]})") - {end}:
            raise MalformedCallError("it is cut off" if not behind else f"{behind!r} stands where {end!r} should")

    def _key(self) -> Steps[str]:
        delimiter = yield from self._delimiter()
        is_quoted = True
        if delimiter:
            key = yield from self._text_of(self._string(delimiter))
        elif (quote := (yield from self._cursor.peek())) == '"':
            key = yield from self._text_of(self._quoted())
        elif quote == "'":
            self._cursor.skip()
            key = yield from self._cursor.until(quote, _LONGEST_WORD)
            self._cursor.skip()
        else:
            key, is_quoted = (yield from self._cursor.until(":,{}[]", _LONGEST_WORD)).strip(), False
        if (yield from self._cursor.skip_space()) != ":" or not (key or is_quoted):
            raise MalformedCallError("a key has no value")
        self._cursor.skip()
        return key

    def _value(self) -> Steps[None]:
        first = yield from self._cursor.skip_space()
        if delimiter := (yield from self._delimiter()):
            yield from self._string(delimiter)
        elif first == '"':
            yield from self._quoted()
        elif first in ["{", "["]:
            yield from self._container()
        else:
            yield from self._word()

    def _container(self) -> Steps[None]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise MalformedCallError("its values are nested too deeply")
        if self._cursor.skip() == "{":
            yield from self.members("}")
        else:
            yield from self._items()
        self._depth -= 1

    def _word(self) -> Steps[None]:
        """Reads a number, a constant, or a string that lacks its delimiters."""
        word = (yield from self._cursor.until(",{}[]()", _LONGEST_WORD)).strip()
        if not (yield from self._cursor.peek()):
            raise MalformedCallError("it is cut off")
        self._write(KEYWORDS.get(word) or number(word) or json.dumps(word, ensure_ascii=False))

    # ---- strings ----

    def _delimiter(self) -> Steps[str]:
        """Reads a string's delimiter and returns it; nothing where none comes next."""
        for delimiter in DELIMITERS:
            if (yield from self._cursor.is_next(delimiter)):
                return self._cursor.skip(len(delimiter))
        return ""

    def _string(self, delimiter: str) -> Steps[None]:
        self._write('"')
        while True:
            if text := self._cursor.run(delimiter[0]):
                self._write(quoted(text))
            if not (yield from self._cursor.peek()):
                raise MalformedCallError("it is cut off")
            if (yield from self._cursor.is_next(delimiter)):
                self._cursor.skip(len(delimiter))
                break
            self._write(quoted(self._cursor.run(delimiter[0]) or self._cursor.skip()))
        self._write('"')

    def _text_of(self, string: Steps[None]) -> Steps[str]:
        """Reads a string for itself, and returns what it says."""
        write, pieces = self._write, list[str]()
        self._write = pieces.append
        yield from string
        self._write = write
        return str(json.loads("".join(pieces)))

    def _quoted(self) -> Steps[None]:
        """Reads a string with JSON's quotes, which the models write at times."""
        self._write(self._cursor.skip())
        while True:
            text = self._cursor.run('"\\')
            self._write(quoted(text))
            next_one = yield from self._cursor.peek()
            if not next_one:
                raise MalformedCallError("it is cut off")
            if next_one == '"':
                self._write(self._cursor.skip())
                return
            if next_one == "\\":
                self._write((yield from self._escape()))

    def _escape(self) -> Steps[str]:
        both = yield from self._cursor.peek(2)
        if both == "\\u":
            both = yield from self._cursor.peek(6)
        self._cursor.skip(len(both))
        return both if _ESCAPE.fullmatch(both) else quoted(both)
