"""Where each key of a TOML text stands: ``("server", "listen") -> 3``, for errors and provenance.

``tomllib`` keeps no positions. This scanner finds them in a text that ``tomllib`` has accepted already, so it
checks nothing itself: it only has to tell keys from values.
"""

import re
import tomllib
from bisect import bisect_right

from mlxd.config.keys import Key

_BLANK = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*+")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*+"{3,5}'  # a multi-line string may end in up to two quotes of its own
    r"|'''(?:[^']++|'(?!''))*+'{3,5}"
    r'|"(?:[^"\\\n]++|\\.)*+"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]*")


def key_lines(text: str) -> dict[Key, int]:
    """Returns the line, from 1, of every table, key and array item. ``text`` must be valid TOML."""
    return _Scanner(text.replace("\r\n", "\n")).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._newlines = [found.start() for found in re.finditer("\n", text)]
        self._lines: dict[Key, int] = {}
        self._last_item: dict[Key, int] = {}  # of each array of tables

    def scan(self) -> dict[Key, int]:
        table: Key = ()
        while self._skip(_BLANK):
            if self._peek("["):
                table = self._header()
            else:
                self._key_value(table)
        return self._lines

    def _header(self) -> Key:
        is_array = self._peek("[[")
        self._at += 2 if is_array else 1
        key, line = self._key(), self._line()
        self._at += 2 if is_array else 1
        table = self._absolute(key[:-1]) + key[-1:] if is_array else self._absolute(key)
        self._record((), table, line)
        if is_array:
            self._last_item[table] = self._last_item.get(table, -1) + 1
            table = (*table, self._last_item[table])
            self._lines[table] = line
        return table

    def _absolute(self, key: Key) -> Key:
        """Returns the key with the position of the current item put in after each array of tables."""
        found: Key = ()
        for part in key:
            found = (*found, part)
            if found in self._last_item:
                found = (*found, self._last_item[found])
        return found

    def _key_value(self, table: Key) -> None:
        line = self._line()
        key = self._key()
        self._record(table, key, line)
        self._at += 1  # "="
        self._skip(_SPACE)
        self._value(table + key)

    def _record(self, table: Key, key: Key, line: int) -> None:
        for length in range(1, len(key) + 1):
            self._lines.setdefault(table + key[:length], line)

    def _key(self) -> Key:
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            quoted = self._peek('"') or self._peek("'")
            part = self._take(_STRING if quoted else _BARE_KEY)
            parts.append(tomllib.loads(f"text = {part}")["text"] if quoted else part)
            self._skip(_SPACE)
            if not self._peek("."):
                return tuple(parts)
            self._at += 1

    def _value(self, key: Key) -> None:
        if self._peek("["):
            self._array(key)
        elif self._peek("{"):
            self._inline_table(key)
        else:
            self._take(_STRING if self._peek('"') or self._peek("'") else _SCALAR)

    def _array(self, key: Key) -> None:
        self._at += 1
        item = 0
        while self._skip(_BLANK) and not self._peek("]"):
            self._lines[(*key, item)] = self._line()
            self._value((*key, item))
            item += 1
            self._skip_comma()
        self._at += 1

    def _inline_table(self, key: Key) -> None:
        self._at += 1
        while self._skip(_BLANK) and not self._peek("}"):
            self._key_value(key)
            self._skip_comma()
        self._at += 1

    def _skip_comma(self) -> None:
        self._skip(_BLANK)
        if self._peek(","):
            self._at += 1

    def _peek(self, prefix: str) -> bool:
        return self._text.startswith(prefix, self._at)

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if not found:
            raise ValueError(f"line {self._line()}: no valid TOML")
        self._at = found.end()
        return found[0]

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Steps over ``pattern``, and tells whether any text is left."""
        self._take(pattern)
        return self._at < len(self._text)

    def _line(self) -> int:
        return bisect_right(self._newlines, self._at - 1) + 1
