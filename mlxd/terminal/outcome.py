"""``mlxd reload`` and ``mlxd diff``: what a reload has done, or would do, as the admin API tells it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mlxd.config.keys import dotted
from mlxd.quantities import size
from mlxd.terminal.values import printable

_DONE = {
    "applied": ("applied", "green", "this is what runs now"),
    "unchanged": ("unchanged", "green", "what runs is what the file says"),
    "failed": ("failed", "bold red", "taken over, but a model could not follow"),
    "invalid": ("invalid", "bold red", "nothing has changed"),
    "refused": ("refused", "bold red", "nothing has changed"),
    "stale": ("stale", "bold red", "nothing has changed"),
}
_COMPARED = _DONE | {
    "planned": ("planned", "cyan", "a reload would do this"),
    "invalid": ("invalid", "bold red", "a reload would change nothing"),
    "refused": ("refused", "bold red", "a reload would change nothing"),
}
_ACTIONS = {
    "live": ("~", "cyan", "takes it at once, nothing restarts"),
    "replace": ("~", "yellow", "a new worker beside the old one, which serves until then"),
    "drain_and_replace": ("~", "bold yellow", "drains, then a new worker: no memory for both"),
    "load": ("+", "green", "new, loads now"),
    "add": ("+", "green", "new, loads at its first request"),
    "unload": ("-", "red", "removed, ends once its requests are done"),
}


def render_reload(outcome: Mapping[str, Any]) -> RenderableType:
    """Renders ``outcome``, the answer of ``POST /admin/v1/reload``, without its problems, which belong to standard error."""
    return Group(_headline(outcome, _DONE), *_plan(outcome["plan"]))


def render_comparison(outcome: Mapping[str, Any]) -> RenderableType:
    """Renders the answer of a dry run or of ``POST /admin/v1/config/diff`` as ``render_reload`` does."""
    return Group(_headline(outcome, _COMPARED), *_plan(outcome["plan"]))


def _headline(outcome: Mapping[str, Any], words: Mapping[str, tuple[str, str, str]]) -> Text:
    result = printable(outcome["result"])
    word, style, meaning = words.get(result, (result, "", ""))
    return Text.assemble((word, style), f": {meaning} (sha256 {printable(outcome['sha256'][:12])} runs)")


def _plan(plan: Mapping[str, Any]) -> Iterator[RenderableType]:
    for model in plan["models"]:
        yield from _model(model)
    if plan["listeners"]:
        yield from ("", Text("listeners", style="bold"), Padding(_listeners(plan["listeners"]), (0, 0, 0, 4)))
    if plan["caches"]:
        yield from ("", Text('caches of the pool (cache.memory = "auto")', style="bold"), Padding(_caches(plan["caches"]), (0, 0, 0, 4)))
    for title, changes in (("outside models, at once", plan["live"]), ("needs a restart of the daemon", plan["refused"])):
        if changes:
            yield from ("", Text(title, style="bold"), _changes(changes))


def _model(model: Mapping[str, Any]) -> Iterator[RenderableType]:
    name, action = model["model"], printable(model["action"])
    mark, style, meaning = _ACTIONS.get(action, ("~", "", ""))
    yield ""
    yield Text.assemble((f"{mark} {printable(name)}", f"bold {style}"), f"  {action.replace('_', ' ')}: ", (meaning, "dim"))
    if model["changes"]:
        yield _changes(model["changes"], dotted(("models", name)) + ".")


def _changes(changes: Sequence[Mapping[str, Any]], prefix: str = "") -> RenderableType:
    """Renders changes field by field, their keys without ``prefix``."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(overflow="fold")
    rows.add_column(overflow="fold")
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(style="dim", no_wrap=True)
    for change in changes:
        values = Text.assemble((_value(change["before"]), "red"), " -> ", (_value(change["after"]), "green"))
        line = "" if change["line"] is None else f"line {change['line']}"
        rows.add_row(Text(printable(change["key"].removeprefix(prefix))), values, Text(printable(change["class"])), line)
    return Padding(rows, (0, 0, 0, 4))


def _listeners(listeners: Sequence[Mapping[str, Any]]) -> RenderableType:
    rows = Table.grid(padding=(0, 2))
    for listener in listeners:
        addresses = [*((f"+ {one}", "green") for one in listener["opened"]), *((f"- {one}", "red") for one in listener["closed"])]
        text = Text("  ").join(Text(printable(address), style) for address, style in addresses)
        rows.add_row(Text(printable(listener["role"])), text)
    return rows


def _caches(caches: Sequence[Mapping[str, Any]]) -> RenderableType:
    rows = Table.grid(padding=(0, 2))
    for one in caches:
        before, after = ("none" if one[key] is None else size(one[key]) for key in ("before_bytes", "after_bytes"))
        rows.add_row(Text(printable(one["model"])), Text.assemble((before, "red"), " -> ", (after, "green")))
    return rows


def _value(value: Any) -> str:
    """Returns the value nearly as it is written in the file."""
    return "unset" if value is None else printable(json.dumps(value, ensure_ascii=False))
