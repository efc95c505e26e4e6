"""Secrets of the file: ``"env:NAME"`` and ``"file:PATH"`` are resolved when it is read. No value is ever in a message.

A text that somebody submits is another matter: whoever may send one must not learn what exists on this machine, nor make mlxd
read it. There, references stay as they are written.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import override

from mlxd.config.catalogue import Entry, leaves_set
from mlxd.config.fields import Table, is_secret
from mlxd.config.keys import Key
from mlxd.config.paths import expand
from mlxd.config.problems import Problem
from mlxd.config.regular_file import read_at_most

_MAX_FILE = 16 * 1024  # bytes
_TOKEN = re.compile(r"[!-~]+")  # what a bearer token may hold: printable ASCII, no space
_NO_NAME = 'found "env:" without a name; must be "env:NAME"'
_NO_PATH = 'found "file:" without a path; must be "file:PATH"'
_UNRESOLVED = "unresolved"  # stands for a secret that has a problem: the file is refused anyway


class _SecretError(Exception):
    """A secret is unusable, and why."""


class SecretSource(Protocol):
    """A source knows the secret that a reference stands for."""

    def look_up(self, reference: str) -> str:
        """Returns the secret of ``"env:NAME"`` or ``"file:PATH"``; anything else stands for itself."""


class ThisMachine(SecretSource):
    """The environment and the files of this machine; a relative path starts from ``directory``."""

    def __init__(self, environ: Mapping[str, str], directory: Path) -> None:
        self._environ = environ
        self._directory = directory

    @override
    def look_up(self, reference: str) -> str:
        if reference.startswith("env:"):
            return _checked(_from_environment(reference.removeprefix("env:"), self._environ))
        if reference.startswith("file:"):
            return _checked(_from_file(reference.removeprefix("file:"), self._directory))
        return _checked(reference)


class Nowhere(SecretSource):
    """A source that looks nothing up: each reference stays as it is written, once it is known to be one."""

    @override
    def look_up(self, reference: str) -> str:
        if reference == "env:":
            raise _SecretError(_NO_NAME)
        if reference == "file:":
            raise _SecretError(_NO_PATH)
        return reference if reference.startswith(("env:", "file:")) else _checked(reference)


def resolve_secrets(root: type[Table], values: dict[str, Any], source: SecretSource) -> list[Problem]:
    """Replaces each reference in ``values`` by what ``source`` says. Values of a wrong type are left to validation."""
    problems: list[Problem] = []
    for entry in _secrets(root, values):
        parent: Any = values
        for part in entry.key[:-1]:
            parent = parent[part]
        name = entry.key[-1]
        if isinstance(parent[name], list):
            parent[name] = [_resolved((*entry.key, at), item, source, problems) for at, item in enumerate(parent[name])]
        elif parent[name] != "" or entry.info.is_required():  # an optional one that is empty is none
            parent[name] = _resolved(entry.key, parent[name], source, problems)
    return problems


def _secrets(root: type[Table], values: dict[str, Any]) -> Iterable[Entry]:
    return [entry for entry in leaves_set(root, values) if is_secret(entry.info)]


def _resolved(key: Key, value: Any, source: SecretSource, problems: list[Problem]) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return source.look_up(value)
    except _SecretError as error:
        problems.append(Problem(key, str(error)))
        return _UNRESOLVED


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    if not name:
        raise _SecretError(_NO_NAME)
    if name not in environ:
        raise _SecretError(f'found "env:{name}", and the environment variable {name} is not set; set it before starting mlxd')
    if not environ[name]:
        raise _SecretError(f'found "env:{name}", and the environment variable {name} is empty; set it before starting mlxd')
    return environ[name]


def _from_file(text: str, directory: Path) -> str:
    if not text:
        raise _SecretError(_NO_PATH)
    found = f'found "file:{text}", and that file'
    try:
        data = read_at_most(expand(text, directory), _MAX_FILE)
        secret = data.decode().strip()
    except FileNotFoundError:
        raise _SecretError(f"{found} does not exist; create it, readable by mlxd only") from None
    except OSError as error:
        raise _SecretError(f"{found} cannot be read ({error.strerror}); make it a file that mlxd can read") from None
    except UnicodeDecodeError:
        raise _SecretError(f"{found} is not text; it must hold the secret alone") from None
    except ValueError as error:
        raise _SecretError(f'found "file:…"; {error}') from None
    if len(data) > _MAX_FILE:
        raise _SecretError(f"{found} is larger than {_MAX_FILE // 1024} KiB; it must hold the secret alone")
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
