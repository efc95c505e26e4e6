"""A JSON object among a model's files, read with types: what is wrong with it is said with its file and its key."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.collector import without_collector

AGAIN = "fetch or copy the model again"


def is_there(path: Path) -> bool:
    """Tells whether there is anything at the path: a dangling link is there, and broken."""
    return path.exists() or path.is_symlink()


def check_is_file(path: Path) -> None:
    """Raises ``ModelSourceError`` for a file that is absent, for a dangling link, and for what would block whoever reads it."""
    if not is_there(path):
        raise ModelSourceError(f"{path} is missing; {AGAIN}")
    if not path.exists():
        raise ModelSourceError(f"{path} is a link to {path.readlink()}, which does not exist; {AGAIN}")
    if not path.is_file() and not path.is_dir():  # to open a directory fails at once, and says so
        raise ModelSourceError(f"{path} is no regular file; {AGAIN}")


def read_text(path: Path) -> str:
    """Returns the text of a file in UTF-8. Raises ``ModelSourceError``, and ``OSError`` where it cannot be read at all."""
    check_is_file(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelSourceError(f"{path} is not UTF-8 ({error}); {AGAIN}") from error


@dataclass(frozen=True)
class JsonDocument:
    """The object in ``path``, or the part of it under ``prefix``; a key's value of null counts as absent."""

    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    prefix: str = ""  # "text_config."

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads the file's object. Raises ``ModelSourceError``, and ``OSError`` where it cannot be read at all."""
        check_is_file(path)
        try:
            with without_collector():
                value = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_unambiguous)
        except (ValueError, RecursionError) as error:
            raise ModelSourceError(f"{path} is not valid JSON ({error}); {AGAIN}") from error
        if not isinstance(value, dict):
            raise ModelSourceError(f"{path} is not a JSON object; {AGAIN}")
        return cls(path, value)

    @classmethod
    def read_if_there(cls, path: Path) -> Self:
        """Reads the file's object; an empty one where there is no such file."""
        return cls.read(path) if is_there(path) else cls(path)

    def get(self, key: str) -> Any:
        """Returns the value as it stands; None where it is absent or null."""
        return self.values.get(key)

    def origin(self, key: str) -> str:
        """Names the file and the key, for people: ``config.json "text_config.n_ctx"``."""
        return f'{self.path.name} "{self.prefix}{key}"'

    def wrong(self, key: str, expected: str) -> ModelSourceError:
        """Returns an error that shows the value and says what was expected."""
        return ModelSourceError(f'{self.path}: "{self.prefix}{key}" is {shown(self.get(key))}; expected {expected}')

    def part(self, key: str) -> Self | None:
        """Returns the object under ``key``, None where there is none. Raises ``ModelSourceError`` where it is something else."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return type(self)(self.path, value, f"{self.prefix}{key}.")

    def text(self, key: str) -> str | None:
        """Returns a string, None where there is none. Raises ``ModelSourceError`` where it is something else."""
        value = self.get(key)
        if value is not None and not isinstance(value, str):
            raise self.wrong(key, "a string")
        return value

    def count(self, key: str) -> int | None:
        """Returns a whole number above zero, None where there is none. Raises ``ModelSourceError`` where it is something else."""
        value: int | None = self.get(key)
        if value is not None and (not _is_whole(value) or value < 1):
            raise self.wrong(key, "a whole number above zero")
        return value

    def whole_numbers(self, key: str) -> Iterator[int]:
        """Yields one whole number, or each of a list of them. Raises ``ModelSourceError`` where it is something else."""
        value = self.get(key)
        if value is None:
            return
        for number in value if isinstance(value, list) else [value]:
            if not _is_whole(number):
                raise self.wrong(key, "a token id or a list of them")
            yield number


def shown(value: object) -> str:
    """Returns a value of a JSON file in few characters, as the file spells it."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object of its pairs. A key may be repeated only with the same value, else ``ValueError`` is raised: which of two is meant,
    nobody can tell.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        for key, value in pairs:
            if found[key] != value:
                raise ValueError(f'"{key}" is there twice, as {shown(value)} and as {shown(found[key])}')
    return found
