"""JSON recognised while it comes."""

import re
from enum import Enum

_SPACE = re.compile(r"[ \t\r\n]+")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')  # of a string
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_ATOM = re.compile(r"[-+.\w]+", re.ASCII)
_LITERALS = ("true", "false", "null")
_ESCAPES = frozenset('"\\/bfnrt')
_HEX = frozenset("0123456789abcdefABCDEF")
_CONTROLS = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


class _Wants(Enum):
    """What may come next."""

    VALUE = "a value"
    VALUE_OR_END = "a value, or the end of the array"
    KEY_OR_END = "a key, or the end of the object"
    KEY = "a key"
    COLON = "a colon"
    COMMA_OR_END = "a comma, or the end"
    STRING = "more of a string"
    ESCAPE = "what is escaped"
    HEX = "a hexadecimal digit"
    ATOM = "more of a number or a word"
    NOTHING = "nothing"


class JsonScanner:
    """A recogniser of one JSON value, as strict as RFC 8259 but for one thing: raw control characters in strings, which models write, are
    escaped. What it passed on is always the beginning of a JSON value.
    """

    def __init__(self) -> None:
        self._wants = _Wants.VALUE
        self._open: list[str] = []  # the brackets around, "{" or "["
        self._atom = ""
        self._digits = 0
        self._is_key = False
        self.is_broken = False

    @property
    def is_done(self) -> bool:
        """Returns whether the value is complete. A number that is all of it only ends with what follows it."""
        return self._wants is _Wants.NOTHING and not self.is_broken

    def push(self, text: str) -> tuple[int, str]:
        """Returns how many characters of ``text`` are the value's, and those in proper JSON. Fewer than all are where it is done or
        broken.
        """
        at, out = 0, []
        while at < len(text) and self._wants is not _Wants.NOTHING and not self.is_broken:
            size, written = self._step(text, at)
            at += size
            out.append(written)
        return at, "".join(out)

    def end(self) -> None:
        """Takes the end of the text, which may complete a number or a word."""
        if self._wants is _Wants.ATOM:
            self._end_atom()

    def _step(self, text: str, at: int) -> tuple[int, str]:
        match self._wants:
            case _Wants.STRING:
                return self._string(text, at)
            case _Wants.ESCAPE:
                return self._escape(text[at])
            case _Wants.HEX:
                return self._hex(text[at])
            case _Wants.ATOM:
                return self._more_atom(text, at)
            case _:
                return self._between(text, at)

    def _string(self, text: str, at: int) -> tuple[int, str]:
        if plain := _PLAIN.match(text, at):
            return len(plain[0]), plain[0]
        character = text[at]
        if character == '"':
            self._wants = _Wants.COLON if self._is_key else self._after_value()
        elif character == "\\":
            self._wants = _Wants.ESCAPE
        else:
            return 1, _CONTROLS.get(character, f"\\u{ord(character):04x}")
        return 1, character

    def _escape(self, character: str) -> tuple[int, str]:
        if character == "u":
            self._wants, self._digits = _Wants.HEX, 0
        elif character in _ESCAPES:
            self._wants = _Wants.STRING
        else:
            return self._break()
        return 1, character

    def _hex(self, character: str) -> tuple[int, str]:
        if character not in _HEX:
            return self._break()
        self._digits += 1
        if self._digits == len("0000"):
            self._wants = _Wants.STRING
        return 1, character

    def _more_atom(self, text: str, at: int) -> tuple[int, str]:
        """Reads a number or a word, which is checked as it grows: nothing that is neither is passed on."""
        if not (more := _ATOM.match(text, at)):
            self._end_atom()
            return 0, ""
        for size in range(1, len(more[0]) + 1):
            if not _may_be_atom(self._atom + more[0][:size]):
                self._break()
                self._atom += more[0][: size - 1]
                return size - 1, more[0][: size - 1]
        self._atom += more[0]
        return len(more[0]), more[0]

    def _end_atom(self) -> None:
        if self._atom in _LITERALS or _NUMBER.fullmatch(self._atom):
            self._wants, self._atom = self._after_value(), ""
        else:
            self._break()

    def _between(self, text: str, at: int) -> tuple[int, str]:
        if space := _SPACE.match(text, at):
            return len(space[0]), space[0]
        return self._mark(text[at])

    def _mark(self, character: str) -> tuple[int, str]:
        wants = self._wants
        if character == '"' and wants in _BEFORE_STRING:
            self._is_key = wants in {_Wants.KEY, _Wants.KEY_OR_END}
            self._wants = _Wants.STRING
        elif wants in {_Wants.VALUE, _Wants.VALUE_OR_END} and character in "{[":
            self._open.append(character)
            self._wants = _Wants.KEY_OR_END if character == "{" else _Wants.VALUE_OR_END
        elif wants in _BEFORE_END and self._open and self._open[-1] + character in _PAIRS[wants]:
            self._open.pop()
            self._wants = self._after_value()
        elif wants is _Wants.COLON and character == ":":
            self._wants = _Wants.VALUE
        elif wants is _Wants.COMMA_OR_END and character == ",":
            self._wants = _Wants.KEY if self._open[-1] == "{" else _Wants.VALUE
        elif wants in {_Wants.VALUE, _Wants.VALUE_OR_END} and _may_be_atom(character):
            self._wants = _Wants.ATOM
            return 0, ""
        else:
            return self._break()
        return 1, character

    def _after_value(self) -> _Wants:
        return _Wants.COMMA_OR_END if self._open else _Wants.NOTHING

    def _break(self) -> tuple[int, str]:
        self.is_broken = True
        return 0, ""


_BEFORE_STRING = {_Wants.VALUE, _Wants.VALUE_OR_END, _Wants.KEY, _Wants.KEY_OR_END}
_PAIRS = {_Wants.COMMA_OR_END: ("{}", "[]"), _Wants.KEY_OR_END: ("{}",), _Wants.VALUE_OR_END: ("[]",)}
_BEFORE_END = frozenset(_PAIRS)
_BEGUN_NUMBER = re.compile(r"-?((0|[1-9]\d*)((\.\d*)?|(\.\d+)?[eE][+-]?\d*))?")


def _may_be_atom(text: str) -> bool:
    return any(literal.startswith(text) for literal in _LITERALS) or _BEGUN_NUMBER.fullmatch(text) is not None
