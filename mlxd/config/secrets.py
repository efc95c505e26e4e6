"""Secrets of the file: ``"env:NAME"`` and ``"file:PATH"`` are resolved when it is read. No value is ever in a message."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlxd.config.catalogue import Entry, leaves_set
from mlxd.config.fields import Table, is_secret
from mlxd.config.keys import Key
from mlxd.config.paths import expand
from mlxd.config.problems import Problem

_MAX_FILE = 16 * 1024  # bytes
_TOKEN = re.compile(r"[!-~]+")  # what a bearer token may hold: printable ASCII, no space
_UNRESOLVED = "unresolved"  # stands for a secret that has a problem: the file is refused anyway


class _SecretError(Exception):
    """Why a secret is unusable."""


def resolve_secrets(root: type[Table], values: dict[str, Any], environ: Mapping[str, str], directory: Path) -> list[Problem]:
    """Replace each reference in ``values`` by what it stands for. Values of a wrong type are left to validation."""
    problems: list[Problem] = []
    for entry in _secrets(root, values):
        parent: Any = values
        for part in entry.key[:-1]:
            parent = parent[part]
        name = entry.key[-1]
        if isinstance(parent[name], list):
            parent[name] = [_resolved((*entry.key, at), item, environ, directory, problems) for at, item in enumerate(parent[name])]
        elif parent[name] != "":
            parent[name] = _resolved(entry.key, parent[name], environ, directory, problems)
    return problems


def _secrets(root: type[Table], values: dict[str, Any]) -> Iterable[Entry]:
    return [entry for entry in leaves_set(root, values) if is_secret(entry.info)]


def _resolved(key: Key, value: Any, environ: Mapping[str, str], directory: Path, problems: list[Problem]) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return _checked(_looked_up(value, environ, directory))
    except _SecretError as error:
        problems.append(Problem(key, str(error)))
        return _UNRESOLVED


def _looked_up(value: str, environ: Mapping[str, str], directory: Path) -> str:
    if value.startswith("env:"):
        return _from_environment(value.removeprefix("env:"), environ)
    if value.startswith("file:"):
        return _from_file(value.removeprefix("file:"), directory)
    return value


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    if not name:
        raise _SecretError('found "env:" without a name; must be "env:NAME"')
    if name not in environ:
        raise _SecretError(f'found "env:{name}", and the environment variable {name} is not set; set it before starting mlxd')
    if not environ[name]:
        raise _SecretError(f'found "env:{name}", and the environment variable {name} is empty; set it before starting mlxd')
    return environ[name]


def _from_file(text: str, directory: Path) -> str:
    if not text:
        raise _SecretError('found "file:" without a path; must be "file:PATH"')
    found = f'found "file:{text}", and that file'
    try:
        with expand(text, directory).open("rb") as file:
            secret = file.read(_MAX_FILE + 1).decode().strip()
    except FileNotFoundError:
        raise _SecretError(f"{found} does not exist; create it, readable by mlxd only") from None
    except OSError as error:
        raise _SecretError(f"{found} cannot be read ({error.strerror}); make it a file that mlxd can read") from None
    except UnicodeDecodeError:
        raise _SecretError(f"{found} is not text; it must hold the secret alone") from None
    except ValueError as error:
        raise _SecretError(f'found "file:…"; {error}') from None
    if not secret:
        raise _SecretError(f"{found} is empty; it must hold the secret alone")
    return secret


def _checked(secret: str) -> str:
    if not secret:
        raise _SecretError('found an empty string; must be "env:NAME", "file:PATH" or the secret itself')
    if not _TOKEN.fullmatch(secret):
        raise _SecretError(
            "found a secret with a space or another character no bearer token may have; must be printable ASCII without spaces"
        )
    return secret
