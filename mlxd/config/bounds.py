"""How much a TOML text may hold, found out before anything else is done with it.

``tomllib`` and all that follows take time by the square of a key's depth, and by the number of keys; a text of a few MiB could
keep a thread for hours. This scan is linear. It stops at the first thing that is no token, for there ``tomllib`` stops too, and
says what is wrong.
"""

import re
from collections.abc import Iterator

MAX_DEPTH = 16  # of tables in tables, of arrays in arrays, of the parts of one key; the schema needs five
MAX_ITEMS = 20_000  # keys, tables and array items

_TOKEN = re.compile(
    r"(?:[ \t\r\n]++|#[^\n]*+)"
    r'|"""(?:[^"\\]++|\\.|"(?!""))*+"{3,5}'
    r"|'''(?:[^']++|'(?!''))*+'{3,5}"
    r'|"(?:[^"\\\n]++|\\.)*+"'
    r"|'[^'\n]*+'"
    r"|[^\s\[\]{}=,.#\"']++"
    r"|(?P<mark>[\[\]{}=,.])",
    re.DOTALL,
)
_NESTING = {"[": 1, "{": 1, "]": -1, "}": -1}


def excess(text: str) -> str | None:
    """Says what the text has too much of; None where it stays within bounds."""
    depth = parts = items = 0
    for mark in _marks(text):
        parts = parts + 1 if mark == "." else 0
        depth = max(0, depth + _NESTING.get(mark, 0))
        items += mark in "[{=,"
        if depth > MAX_DEPTH or parts >= MAX_DEPTH:
            return "nested too deeply; the configuration needs a depth of five"
        if items > MAX_ITEMS:
            return f"more than {MAX_ITEMS} keys, tables and array items; this is no configuration file"
    return None


def _marks(text: str) -> Iterator[str]:
    at = 0
    while found := _TOKEN.match(text, at):
        at = found.end()
        if mark := found["mark"]:
            yield mark
