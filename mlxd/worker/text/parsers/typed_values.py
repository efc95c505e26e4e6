"""Values that are written without quotes, between tags: JSON of the kinds that a schema allows, while they come."""

import re
from enum import Enum

from typing_extensions import override

from mlxd.worker.text.parsers.json_scanner import JsonScanner
from mlxd.worker.text.parsers.literals import literal_text, number, quoted
from mlxd.worker.text.parsers.schema_kinds import CONTAINERS, STRING, Kinds

_HELD = 256  # characters after which an object or array surely is one, and what is none is text
_CONSTANTS = {"null": ("null", "none"), "boolean": ("true", "false")}  # by their kinds, as JSON or Python spells them, in any case
_NUMBERS = frozenset({"integer", "number"})
_NUMERIC = re.compile(r"[-+.\deE_]*", re.ASCII)
_LARGEST_EXACT = 2**53  # from there on, floats leave integers out


class _Form(Enum):
    UNDECIDED = "what it is depends on what follows"
    STRING = "a string"
    JSON = "an object or array"


class TypedValue:
    """A value of which ``kinds`` are allowed. What the schema allows besides strings comes first: where null is allowed, ``null`` is null,
    and where only strings are, it is one. What is of no allowed kind is a string, and ``is_odd``.

    An object or array of Python's literals, such as single quotes, is translated; JSON is passed on as it is, once it surely is JSON. One
    that ceases to be JSON after that ``is_broken``.
    """

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._form = _Form.UNDECIDED
        self._held = ""
        self._json: _Json | None = None
        self.is_odd = False

    @property
    def is_broken(self) -> bool:
        """Returns whether what was passed on cannot become JSON."""
        return self._form is _Form.JSON and self._json is not None and self._json.is_broken

    def push(self, text: str) -> str:
        """Returns more of the value's JSON."""
        if self._form is _Form.STRING:
            return quoted(text)
        if self._json is not None:
            self._json.push(text)
        if self._form is _Form.JSON and self._json is not None:
            return self._json.take()
        self._held += text
        return self._decide()

    def end(self) -> str:
        """Returns the rest of the value's JSON."""
        if self._form is _Form.STRING:
            return '"'
        if self._form is _Form.JSON and self._json is not None:
            self._json.end()
            return ""
        converted = self._converted(self._held.strip())
        self.is_odd = converted is None and "string" not in self._kinds
        return f'"{quoted(self._held)}"' if converted is None else converted

    def cut_off(self) -> str:
        """Returns what is held back of a value that has no end, as it is written."""
        return self._held if self._form is _Form.UNDECIDED else ""

    def _decide(self) -> str:
        start = self._held[:_HELD].lstrip()
        if self._json is None and start[:1] in {"{", "["} and self._kinds & CONTAINERS:
            self._json = _Json()
            self._json.push(self._held.lstrip())
        if self._json is not None and self._json.is_sure:
            self._form = _Form.JSON
            return self._json.take()
        if "string" in self._kinds and not self._may_be_other(start):
            self._form = _Form.STRING
            return '"' + quoted(self._held)
        return ""

    def _may_be_other(self, start: str) -> bool:
        """Returns whether a value that begins so may be something else than a string."""
        if self._json is not None:
            return not self._json.is_broken
        word = start.rstrip()
        if len(self._held) > _HELD:
            return False
        if not word:
            return self._kinds != STRING
        if self._kinds & _NUMBERS and _NUMERIC.fullmatch(word):
            return True
        return any(spelling.startswith(word.lower()) for spelling in self._constants())

    def _constants(self) -> list[str]:
        return [spelling for kind in self._kinds & {*_CONSTANTS} for spelling in _CONSTANTS[kind]]

    def _converted(self, word: str) -> str | None:
        """Returns the JSON of a whole value; None where it is of no allowed kind but a string."""
        if word.lower() in self._constants():
            return "null" if word.lower() in _CONSTANTS["null"] else word.lower()
        if self._kinds & _NUMBERS and (found := number(word)):
            return found if "number" in self._kinds else whole_number(found)
        if self._kinds & CONTAINERS and word[:1] in {"{", "[", "("}:
            return self._json.take() if self._json and self._json.is_whole else literal_text(word)
        return None


class FramedValue(TypedValue):
    """A value on lines of its own: a new line before it and one behind it are not part of it."""

    def __init__(self, kinds: Kinds) -> None:
        super().__init__(kinds)
        self._is_first = True
        self._newline = ""

    @override
    def push(self, text: str) -> str:
        if self._is_first and text:
            self._is_first = False
            text = text.removeprefix("\n")
        text = self._newline + text
        self._newline = "\n" if text.endswith("\n") else ""
        return super().push(text.removesuffix("\n"))

    @override
    def cut_off(self) -> str:
        newline, self._newline = self._newline, ""
        return super().push(newline) + super().cut_off()


class _Json:
    """JSON that is passed on as it came."""

    def __init__(self) -> None:
        self._scanner = JsonScanner()
        self._ready = ""
        self._behind = ""  # white space behind the value
        self._size = 0
        self.is_sure = False  # so much of it was JSON that it is passed on whatever follows
        self.is_broken = False

    @property
    def is_whole(self) -> bool:
        """Returns whether it is a JSON value with nothing behind it."""
        return self._scanner.is_done and not self.is_broken

    def push(self, text: str) -> None:
        first, rest = text[: max(0, _HELD - self._size)], text[max(0, _HELD - self._size) :]
        self._size += len(text)
        self._scan(first)
        self.is_sure |= bool(rest) and not self.is_broken
        self._scan(rest)

    def _scan(self, text: str) -> None:
        size, ready = (0, "") if self.is_broken else self._scanner.push(text)
        self._ready += ready
        self._behind += text[size:]
        self.is_broken |= self._scanner.is_broken or bool(self._behind.strip())
        if self.is_broken:
            self._ready, self._behind = self._ready + self._behind, ""

    def end(self) -> None:
        self.is_broken = not self.is_whole

    def take(self) -> str:
        """Returns what was not taken yet."""
        ready, self._ready = self._ready, ""
        return ready


def whole_number(found: str) -> str | None:
    """Returns the JSON number ``found`` as an integer; None where it is none."""
    if re.fullmatch(r"-?\d+", found):
        return found
    value = float(found)
    return str(int(value)) if abs(value) < _LARGEST_EXACT and value.is_integer() else None
