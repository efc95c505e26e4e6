"""What is wrong with a file: one problem at one key, and how it reads."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from mlxd.config.document import Document
from mlxd.config.keys import Key, dotted
from mlxd.errors import excerpt

_SHOWN = 60  # characters of a value


@dataclass(frozen=True)
class Problem:
    """A problem ``rests_on`` the keys it was concluded from; where one of them has a problem of its own, this one is not reported."""

    key: Key
    text: str
    rests_on: tuple[Key, ...] = ()


def render(problems: Iterable[Problem], document: Document) -> list[str]:
    """Returns ``FILE:LINE: KEY: TEXT`` for each problem, in the order of the file, none twice."""
    lines: dict[str, int] = {}
    for problem in problems:
        line = document.line_of(problem.key)
        place = str(document.path) if line is None else f"{document.path}:{line}"
        subject = f"{excerpt(dotted(problem.key))}: " if problem.key else ""  # of no key: a default that this machine cannot have
        lines.setdefault(f"{place}: {subject}{problem.text}", line or 0)
    return sorted(lines, key=lambda text: lines[text])


def shown(value: Any) -> str:
    """Returns a value as it reads in TOML, shortened."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return excerpt(_quoted(value), _SHOWN)
        case datetime() | date() | time():
            return value.isoformat()
        case list():
            return excerpt("[" + ", ".join(shown(item) for item in value[:_SHOWN]) + "]", _SHOWN)
        case dict():
            return "a table"
        case _:
            return excerpt(_number(value), _SHOWN)


def kind_of(value: Any) -> str:
    """Names the TOML type of a value, to say in place of a secret."""
    kinds = {bool: "a boolean", str: "a string", int: "a whole number", float: "a number", list: "an array", dict: "a table"}
    return kinds.get(type(value), "a date or time")


def _quoted(text: str) -> str:
    readable = "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in text[: _SHOWN + 1])
    return f'"{readable}"'


def _number(value: Any) -> str:
    try:
        return str(value)
    except ValueError:  # Python's own limit on the digits of a number, reached by a long hexadecimal one
        return "a number of more than 4300 digits"
