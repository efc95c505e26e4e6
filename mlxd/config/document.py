"""One file as it was read: its values, the lines of its keys, and errors about reading and syntax."""

import ast
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxd.config.bounds import excess
from mlxd.config.keys import Key, dotted
from mlxd.config.lines import key_lines
from mlxd.errors import ConfigError

MAX_FILE = 4 * 2**20  # bytes; anything larger is no configuration

_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TUPLE = re.compile(r"\('.*'(, '.*')*,?\)")  # how tomllib names a key


@dataclass(frozen=True)
class Document:
    """A TOML text that parsed. ``values`` is as written: nothing merged, nothing resolved."""

    path: Path
    text: str
    values: Mapping[str, Any]
    lines: Mapping[Key, int]

    @property
    def directory(self) -> Path:
        """Returns the directory that relative paths in the file start from."""
        return self.path.absolute().parent

    def line_of(self, key: Key) -> int | None:
        """Returns the line of the key, or of the nearest table or array around it; None where none of them is in the file."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key)

    def origin(self, model: str, *field: str) -> Key:
        """Returns the key where a model's value was written: in its own table, or in ``[defaults]``."""
        own: Key = ("models", model, *field)
        inherited: Key = ("defaults", *field)
        return inherited if own not in self.lines and inherited in self.lines else own

    def value_of(self, key: Key) -> Any:
        """Returns the value as written. Raises ``KeyError`` where there is none."""
        value: Any = self.values
        for part in key:
            fits = part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int) and part < len(value)
            if not fits:
                raise KeyError(key)
            value = value[part]
        return value


def read_text(path: Path) -> str:
    """Returns the file's text. Raises ``ConfigError`` where it cannot be read or is not UTF-8."""
    return decode(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """Returns what is in the file. Raises ``ConfigError`` where it cannot be read or is no configuration file by its size."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError([f"{path}: {_unreadable(error)}"]) from None
    if len(data) > MAX_FILE:
        raise ConfigError([f"{path}: larger than {MAX_FILE // 2**20} MiB; this is no configuration file"])
    return data


def read_regular(path: Path) -> bytes:
    """Reads as ``read_bytes`` does, of a regular file only: to open a pipe is to wait for its writer, for ever if need be, and whoever
    waits in a running daemon holds up every later reload. Raises ``ConfigError``.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError([f"{path}: {_unreadable(error)}"]) from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ConfigError([f"{path}: found a pipe or a device, which is read at the start alone; put a regular file there"])
    return read_bytes(path)


def decode(data: bytes, path: Path) -> str:
    """Returns the text of a file. Raises ``ConfigError`` where it is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise ConfigError([f"{path}:{line}:{column}: found the byte 0x{data[error.start]:02x}; the file must be UTF-8"]) from None


def parse_document(text: str, path: Path) -> Document:
    """Parses TOML. Raises ``ConfigError`` with line and column on a syntax error, and for a text that is no configuration by its size."""
    too_much = f"larger than {MAX_FILE // 2**20} MiB; this is no configuration file" if len(text) > MAX_FILE else excess(text)
    if too_much is not None:
        raise ConfigError([f"{path}: {too_much}"])
    try:
        return Document(path, text, tomllib.loads(text), key_lines(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(str(error), text, path)]) from None
    except RecursionError:
        raise ConfigError([f"{path}: nested too deeply; the configuration needs a depth of five"]) from None
    except ValueError:  # Python's own limit on the digits of a number
        raise ConfigError([f"{path}: found a number of more than 4300 digits; no setting needs one"]) from None


def _unreadable(error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "no such file; name the configuration with --config"
        case IsADirectoryError():
            return "found a directory; name the configuration file in it"
        case PermissionError():
            return "may not be read by this user; change its owner or mode"
        case _:
            return f"cannot be read: {error.strerror or error}"


def _syntax_problem(message: str, text: str, path: Path) -> str:
    if text.startswith("\ufeff"):
        return f"{path}:1:1: found a byte-order mark; save the file as UTF-8 without one"
    found = _POSITION.search(message)
    what = message[: found.start()] if found else message
    line, column = (int(found[1]), int(found[2])) if found and found[1] else (len(text.splitlines()) or 1, None)
    place = f"{path}:{line}" if column is None else f"{path}:{line}:{column}"
    end = ", at the end of the file" if column is None else ""
    what = _TUPLE.sub(lambda found: dotted(ast.literal_eval(found[0])), what[:1].lower() + what[1:])
    return f"{place}: not valid TOML: {what}{end}"
