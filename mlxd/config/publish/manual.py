"""The manual of the file. ``docs/configuration.md`` is ``python -m mlxd.config.publish.manual``."""

import json
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

from pydantic.fields import FieldInfo

from mlxd.config.catalogue import Entry, defaults_as_written, entries, leaves
from mlxd.config.fields import Reload, Table, example, is_secret, reload_class
from mlxd.config.keys import Key, dotted
from mlxd.config.schema import Config
from mlxd.config.units import DURATION_PATTERN, QUOTA_PATTERN, SHARE_PATTERN, SIZE_PATTERN
from mlxd.config.values import ALIAS_PATTERN, KEY_NAME_PATTERN, NAME_PATTERN

_HEAD = """\
# The configuration

<!-- Generated from the schema by `python -m mlxd.config.publish.manual`; do not edit. `make docs` writes it anew. -->

One TOML file is all there is: no environment variable and no API overrides it. A file needs only what differs from the defaults, and at
least one model:

```toml
[admin]
listen = "127.0.0.1:8001"              # instead of a unix socket
token = "env:MLXD_ADMIN_TOKEN"

[defaults.batching]                    # for all models
mode = "continuous"

[models.qwen3]
source = "Qwen/Qwen3-0.6B@main"
aliases = ["default", "gpt-4*"]        # "*" stands for any text
lifecycle.idle_unload = "15m"          # for this one

[models.qwen3.sampling]                # for requests that say nothing
temperature = 0.7
```

`mlxd validate` names everything that is wrong with a file, with its lines; an unknown key is an error. `mlxd diff` shows what taking it
over would change. [config/mlxd.full.toml](../config/mlxd.full.toml) has every key with its default, and
[config/mlxd.schema.json](../config/mlxd.schema.json) lets editors complete and check: put
`#:schema ./mlxd.schema.json` on the first line.

## Values

### Durations

A number with its unit, in quotes: `"200ms"`, `"1.5s"`, `"10m"`, `"1h"`, `"2d"`. At most `"3650d"`. A bare number is an error.

### Sizes

A number with its unit, in quotes: `"512B"`, `"32MiB"`, `"2GiB"`, `"1TiB"`, or in powers of ten `"2GB"`.

### Shares of memory

`"auto"`, a percentage of the memory that the key names such as `"60%"`, or a [size](#sizes).

### Addresses

`"127.0.0.1:8000"`, `"[::1]:8000"`, `"host.name:8000"`, or `"unix:/path"`; a path may begin with `~`. Port 0 lets the system choose. One
that other machines can reach (anything but loopback and unix sockets) needs a key or a token, or the file is refused.

### Secrets

`"env:NAME"` (an environment variable), `"file:PATH"` (a file that holds the secret alone; a relative path starts from the configuration's
directory), or the secret itself. They are read when the file is, so a new one needs a reload. They are shown nowhere.

### Names

Letters, digits and `. _ - : /`, at most 128 characters. Every name and alias is given once. Upper and lower case differ.

Aliases may also have `@ + ~ = , ( ) [ ]`, as in `"claude-sonnet-4-5[1m]"`, and `*`, which stands for any text, also for none:
`"claude-*"`, `"gpt-4*"`, `"*/llama-*"`, or `"*"` for every name. Nothing else is special in them. A request goes to the model whose name or
alias it names exactly; else to the pattern that matches and has the most characters beside its stars, so that `"claude-opus-*"` goes before
`"claude-*"`, and `"*"` comes last; of patterns with as many, to the one with more of them before its first star, so that `"gpt-4*"` goes
before `"*-mini"`. Patterns of two models that neither rule tells apart, and that match one and the same name, are refused with both lines.

An adapter of a model is named by any of the model's names, a colon, and its own: `"qwen3:sql"`, or `"default:sql"` where `default` is an
alias of `qwen3`; or by an alias of the adapter, which may be a pattern. Where a model has adapters, what begins with its name and a colon
is one of them or nothing, so that a slip is an error and never an answer without the adapter.

A pattern is for names of at most 256 characters. `GET /v1/models` lists names, not patterns. Operators name models by their names and exact
aliases: to `mlxd unload`, a name that only a pattern matches is unknown.

## What a change costs

A changed file is taken over while the daemon runs ([reload.md](reload.md)). Each key says at what price:

| Change | |
| --- | --- |
"""
_COSTS = {
    Reload.LIVE: "In effect on the next request or step; nothing restarts.",
    Reload.MODEL: "That model gets a new worker. The others do not notice.",
    Reload.LISTENER: "The new address is bound before the old one closes; connections go on.",
    Reload.DAEMON: "Refused: it needs a restart of the daemon.",
}
_NAME = "NAME"  # stands for a model's
_OF_MODEL = "ADAPTER"
_PATTERNS = {
    DURATION_PATTERN: "[duration](#durations)",
    DURATION_PATTERN.replace("^", "^(never|", 1).replace("$", ")$"): '[duration](#durations) or `"never"`',
    SIZE_PATTERN: "[size](#sizes)",
    SHARE_PATTERN: "[share](#shares-of-memory)",
    QUOTA_PATTERN: '[share](#shares-of-memory) but `"auto"`',
    f"^{NAME_PATTERN}$": "[name](#names)",
    f"^{KEY_NAME_PATTERN}$": "letters, digits and `. _ -`, at most 64",
    f"^{ALIAS_PATTERN}$": "[name or pattern](#names)",
}


def manual() -> str:
    used = {reload_class(leaf.info) for leaf in leaves(Config)}
    costs = "".join(f"| *{cost}* | {text}{'' if cost in used else ' No key is, at present.'} |\n" for cost, text in _COSTS.items())
    return f"{_HEAD}{costs}\n## Keys\n" + "".join(_tables(entries(Config)))


def _tables(found: Iterable[Entry]) -> Iterable[str]:
    """Yields a section for each table that has keys of its own; a model's are those of ``[defaults]`` but for a few."""
    for entry in found:
        if entry.kind is None:
            continue
        key = (*entry.key, _OF_MODEL if _NAME in entry.key else _NAME) if entry.is_map else entry.key
        if any(below.kind is None for below in entries(entry.kind)):
            yield _section(entry.kind, key, f"[[{dotted(key)}]]" if entry.is_array else f"[{dotted(key)}]")
        if not entry.is_several:
            yield from _tables(entries(entry.kind, key))
        if entry.is_map:  # what its tables have beside those of [defaults]
            yield from _tables(below for below in entries(entry.kind, key) if below.is_map)


def _section(kind: type[Table], key: Key, heading: str) -> str:
    text = f"\n### {heading}\n\n{_summary(kind)}\n"
    if key[0] == "defaults":
        own = dotted(("models", _NAME, *key[1:]))
        text += f"For one model: `{heading.replace(dotted(key), own)}`.\n"
    if heading.startswith("[["):
        text += "There may be any number of them, each under a heading of its own.\n"
    if key == ("models", _NAME):
        inherited = ", ".join(
            f"[`{below.key[-1]}`](#defaults{below.key[-1]})" for below in entries(kind) if below.kind and not below.is_map
        )
        text += f"Each of its tables {inherited} overrides that of `[defaults]`, key by key.\n"
    rows = "".join(_row(entry.info, str(entry.key[-1]), kind) for entry in entries(kind) if entry.kind is None)
    return f"{text}\n| Key | Value | Default | Change | |\n| --- | --- | --- | --- | --- |\n{rows}"


def _summary(kind: type[Table]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0].replace("``", "`")


def _row(info: FieldInfo, name: str, kind: type[Table]) -> str:
    described = _schemas()[kind.__name__]["properties"][name]
    default = defaults_as_written(kind)[name]
    shown = "*required*" if info.is_required() else "*unset*" if default is None else f"`{json.dumps(default, ensure_ascii=False)}`"
    text = str(info.description)
    if default is None and example(info) is not None:
        text += f" For example `{json.dumps(example(info))}`."
    cells = [f"`{name}`", _value(described, secret=is_secret(info)), shown, f"*{reload_class(info)}*", text]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


@cache
def _schemas() -> dict[str, Any]:
    """Returns the schema of each table, by the table's name."""
    schemas: dict[str, Any] = Config.model_json_schema()["$defs"]
    return schemas


def _value(schema: dict[str, Any], *, secret: bool = False) -> str:
    """Says in words what may stand there."""
    members = [member for member in schema.get("anyOf", []) if member != {"type": "null"}]
    if [member.get("type") for member in members] == ["string", "array"] and "enum" not in members[0]:
        return f"{_value(members[0])}, or a list of them"
    if members:
        return " or ".join(_value(member) for member in members)
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    match schema["type"]:
        case "array":
            words = f"list of {_value(schema['items'], secret=secret)}"
        case "string":
            words = _text(schema, secret=secret)
        case "boolean":
            words = "`true`, `false`"
        case "integer":
            words = _bounds("whole number", schema)
        case _:
            words = _bounds("number", schema)
    return words


def _text(schema: dict[str, Any], *, secret: bool) -> str:
    if secret:
        return "[secret](#secrets)"
    if "unix:" in "".join(schema.get("examples", [])):
        return "[address](#addresses)"
    return _PATTERNS[schema["pattern"]] if "pattern" in schema else "text"


def _bounds(kind: str, schema: dict[str, Any]) -> str:
    lowest = f"from {schema['minimum']:,}" if "minimum" in schema else f"above {schema['exclusiveMinimum']:,}"
    return f"{kind}, {lowest} to {schema['maximum']:,}"


if __name__ == "__main__":
    sys.stdout.write(manual())
