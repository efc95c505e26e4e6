"""From a file to a ``Config``, or to every problem with it at once.

::

    read, parse → resolve secrets and paths → [defaults] into each model → validate → check
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlxd.config.checks import check
from mlxd.config.document import Document, parse_document, read_text
from mlxd.config.fields import NamedTable
from mlxd.config.keys import Key, dotted
from mlxd.config.paths import expand
from mlxd.config.problems import Problem, render, shown
from mlxd.config.prompt_files import ReadPrompt, leave_prompt, read_prompt, read_prompts
from mlxd.config.schema import AdminTable, Config, DefaultsTable
from mlxd.config.secrets import Nowhere, SecretSource, ThisMachine, resolve_secrets
from mlxd.config.source import is_local
from mlxd.config.task_checks import generation_keys
from mlxd.config.validation import mend, validate
from mlxd.errors import ConfigError


@dataclass(frozen=True)
class LoadedConfig:
    """A valid configuration and where it came from. It holds secrets: show ``redact.redacted`` of it."""

    config: Config
    path: Path  # absolute
    sha256: str  # of the file's text, in hexadecimal
    provenance: Mapping[str, int]  # dotted key -> line; of an inherited value, its line in [defaults]
    text: str = field(repr=False)  # of the file, as it was read


def load_config(path: Path, environ: Mapping[str, str] = os.environ) -> LoadedConfig:
    """Reads the file at ``path``. Raises ``ConfigError`` with every problem; ``environ`` is where ``"env:NAME"`` looks."""
    return parse_config(read_text(path), path, environ)


def parse_config(text: str, path: Path, environ: Mapping[str, str]) -> LoadedConfig:
    """Reads a text as ``load_config`` does a file. ``path`` is for messages, and relative paths start from its directory."""
    return _parse(text, path, ThisMachine(environ, path.absolute().parent), read_prompt)


def parse_submitted(text: str, path: Path) -> LoadedConfig:
    """Reads a text that somebody sends: nothing it names is read. Its secrets are the references as written, so such a snapshot can be
    shown and compared with another of its kind, and cannot be served.
    """
    return _parse(text, path, Nowhere(), leave_prompt)


def _parse(text: str, path: Path, secrets: SecretSource, prompt: ReadPrompt) -> LoadedConfig:
    document = parse_document(text, path)
    values: dict[str, Any] = deepcopy(dict(document.values))
    problems = resolve_secrets(Config, values, secrets)
    problems += _resolve_paths(values, document.directory)
    problems += read_prompts(values, document.directory, prompt)
    problems += _spread_defaults(values, document)
    validated = validate(Config, values, document, root=Config)
    problems += validated.problems
    problems += _independent(list(check(validated.table, document)), problems)
    if problems:
        raise ConfigError(render(problems, document))
    for name, keys in generation_keys(document).items():
        validated.table.models[name].remember_of_generation(keys)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return LoadedConfig(validated.table, path.absolute(), sha256, MappingProxyType(_provenance(validated.table, document)), text)


def load_admin(path: Path, environ: Mapping[str, str] = os.environ) -> AdminTable:
    """Reads ``[admin]`` alone, whatever is wrong with the rest of the file: that is how commands find a running daemon. Raises
    ``ConfigError``.
    """
    document = parse_document(read_text(path), path)
    values: dict[str, Any] = {"admin": deepcopy(document.values.get("admin", {}))}
    problems = resolve_secrets(Config, values, ThisMachine(environ, document.directory))
    problems += _resolve_paths(values, document.directory)
    validated = validate(Config, values, document, root=Config)
    problems += validated.problems
    if problems:
        raise ConfigError(render(problems, document))
    return validated.table.admin


def _resolve_paths(values: dict[str, Any], directory: Path) -> list[Problem]:
    """Makes local sources, the log file and files of certificates absolute."""
    problems: list[Problem] = []
    for key, parent in _paths(values):
        text = parent.get(key[-1]) if isinstance(parent, dict) else None
        if not isinstance(text, str) or not text or (key[-1] in {"source", "draft"} and not is_local(text)):
            continue
        try:
            parent[key[-1]] = str(expand(text, directory))
        except ValueError as error:
            problems.append(Problem(key, f"found {shown(text)}; {error}"))
            mend(Config, values, key)
    return problems


def _paths(values: dict[str, Any]) -> Iterator[tuple[Key, Any]]:
    """Yields the key of each path with what should be the table it stands in."""
    models = values.get("models")
    for name, model in models.items() if isinstance(models, dict) else ():
        yield ("models", name, "source"), model
        adapters = _below(model, "adapters")
        for adapter, table in adapters.items() if isinstance(adapters, dict) else ():
            yield ("models", name, "adapters", adapter, "source"), table
        yield from _inheritable_paths(("models", name), model)
    yield from _inheritable_paths(("defaults",), values.get("defaults"))
    yield ("log", "file"), values.get("log")
    for listener in ("server", "admin", "metrics"):
        table = values.get(listener)
        for name in ("certificate", "key"):
            yield (listener, "tls", name), table.get("tls") if isinstance(table, dict) else None


def _inheritable_paths(at: Key, table: Any) -> Iterator[tuple[Key, Any]]:
    """Yields the paths that both a model and ``[defaults]`` may have."""
    yield (*at, "speculation", "draft"), _below(table, "speculation")
    yield (*at, "cache", "disk", "path"), _below(_below(table, "cache"), "disk")


def _below(table: Any, name: str) -> Any:
    return table.get(name) if isinstance(table, dict) else None


def _spread_defaults(values: dict[str, Any], document: Document) -> list[Problem]:
    """Puts ``[defaults]`` under each model. They are validated here, once, so that no model repeats their problems."""
    defaults, models = values.get("defaults"), values.get("models")
    if not isinstance(defaults, dict):
        return []  # absent, or reported when everything is validated
    problems = validate(DefaultsTable, defaults, document, root=Config, at=("defaults",)).problems
    if isinstance(models, dict):
        values["models"] = {name: _merged(defaults, model) for name, model in models.items()}
    return problems


def _merged(below: Any, above: Any) -> Any:
    """Merges two values field by field, where ``above`` wins; nothing of ``below`` is shared."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {name: _merged(deepcopy(below.get(name)), above[name]) if name in above else deepcopy(below[name]) for name in below | above}


def _independent(found: list[Problem], known: list[Problem]) -> list[Problem]:
    """Returns the problems that are no consequence of one that is known."""
    broken = {problem.key for problem in known}
    around_broken = {key[:length] for key in broken for length in range(len(key) + 1)}

    def stands_broken(key: Key) -> bool:
        return key in around_broken or any(key[:length] in broken for length in range(1, len(key) + 1))

    return [problem for problem in found if not any(stands_broken(key) for key in problem.rests_on)]


def _provenance(config: Config, document: Document) -> dict[str, int]:
    lines: dict[Key, int] = {}
    arrays: dict[Key, Sequence[NamedTable]] = {
        ("server", "keys"): config.server.keys,
        ("defaults", "cache", "pin"): config.defaults.cache.pin,
    }
    arrays |= {("models", name, "cache", "pin"): model.cache.pin for name, model in config.models.items()}
    for key, line in document.lines.items():
        numbered = next((at for at, part in enumerate(key) if isinstance(part, int)), len(key))
        if numbered == len(key):
            lines[key] = line
        elif (tables := arrays.get(key[:numbered])) is not None and len(key) <= numbered + 2:  # known by their names, wherever they stand
            lines[*key[:numbered], tables[int(key[numbered])].name, *key[numbered + 1 :]] = line
    defaults = {key[1:]: line for key, line in lines.items() if key[0] == "defaults" and len(key) > 1}
    inherited = {("models", name, *key): line for name in config.models for key, line in defaults.items()}
    return {dotted(key): line for key, line in (inherited | lines).items()}
