"""``mlxd memory``: who has reserved and who holds how much, part by part, and what is done while memory is short."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mlxd.quantities import size
from mlxd.terminal.tables import plain_table
from mlxd.terminal.values import NOTHING, ago, counted, printable, span

_PARTS = {  # titles of columns, and what they add up; together they are what a worker holds
    "WEIGHTS": ("weights_bytes",),
    "CACHE": ("kv_bytes", "states_bytes", "snapshots_bytes"),
    "PICTURES": ("media_bytes",),
    "DRAFT": ("draft_bytes",),
    "ADAPTERS": ("adapters_bytes",),
    "COMPUTING": ("transients_bytes",),
    "TO DISK": ("disk_bytes",),
    "OTHER": ("grammars_bytes", "other_bytes"),
}
_OPTIONAL = {"AUTO CACHE", "PICTURES", "DRAFT", "ADAPTERS", "TO DISK"}
_SHOWN = 5  # entries of the record


def render_memory(memory: Mapping[str, Any]) -> RenderableType:
    """Renders ``memory``, the answer of ``GET /admin/v1/memory``."""
    totals = Table.grid(padding=(0, 2))
    totals.add_column(style="dim")
    totals.add_row("limit", f"{size(memory['limit_bytes'])}: {_shares(memory)}")
    totals.add_row("machine", f"{size(memory['machine_total_bytes'])}: {size(memory['machine_available_bytes'])} available")
    totals.add_row("daemon", size(memory["daemon_bytes"]))
    totals.add_row("pressure", _pressure(memory["relief"]))
    for title, what in turns(memory["exchange"]):
        totals.add_row(title, what)
    return Group(totals, "", _models(memory), *_record(memory["relief"]))


def turns(exchange: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields a title and a text for each model that waits for its turn, and for those that are about to give way."""
    for one in exchange["turns"]:
        expected = "" if one["expected_seconds"] is None else f", its turn comes in about {span(one['expected_seconds'])}"
        waits = f"{counted(one['requests'], 'request')} for {span(one['waiting_seconds'])}"
        yield "waiting", f"{printable(one['model'])}: {waits}, needs {size(one['needs_bytes'])}{expected}"
    if exchange["closed"]:
        yield "closed", f"{', '.join(map(printable, exchange['closed']))}: finishing what runs, then making room"


def _models(memory: Mapping[str, Any]) -> Table:
    """Renders a row for each model; what none of them has gets no column."""
    rows = [_row(model) for model in memory["models"]]
    shown = [title for title in ("RESERVED", "AUTO CACHE", "HELD", *_PARTS) if title not in _OPTIONAL or any(row[title] for row in rows)]
    table = plain_table("MODEL", *shown)
    for model, row in zip(memory["models"], rows, strict=True):
        table.add_row(Text(printable(model["model"]), style="bold"), *(_size(row[title]) for title in shown))
    return table


def _row(model: Mapping[str, Any]) -> dict[str, int | None]:
    parts = model["parts"]
    held = {title: None if parts is None else sum(parts[name] for name in names) for title, names in _PARTS.items()}
    return {"RESERVED": model["reserved_bytes"], "AUTO CACHE": model["cache_share_bytes"], "HELD": model["used_bytes"]} | held


def _shares(memory: Mapping[str, Any]) -> str:
    beyond = f", {size(memory['excess_bytes'])} held beyond that" if memory["excess_bytes"] else ""
    return f"{size(memory['reserved_bytes'])} reserved{beyond}, {size(memory['free_bytes'])} free"


def _pressure(relief: Mapping[str, Any]) -> str:
    level = "the system does not tell" if relief["level"] is None else printable(relief["level"])
    if not relief["enabled"]:
        return f'{level}; nothing is done about it: memory.pressure = "off"'
    held = ", ".join(_words(measure) for measure in relief["measures"])
    return f"{level}; {held}" if held else level


def _record(relief: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yields what was done last, if anything was."""
    if not relief["record"]:
        return
    yield ""
    lines, now = Table.grid(padding=(0, 2)), datetime.now(UTC)
    for one in relief["record"][:_SHOWN]:
        freed = "" if one["freed_bytes"] is None else f"{size(one['freed_bytes'])} freed"
        what = f"{_words(one['measure'])}{' lifted' if one['lifted'] else ''}"
        lines.add_row(Text(f"{ago(one['time'], now)} ago", "dim"), what, printable(one["level"]), _names(one["models"]), freed)
    yield lines


def _names(models: list[str]) -> Text:
    return Text(", ".join(map(printable, models)))


def _words(measure: str) -> str:
    return printable(measure).replace("_", " ")


def _size(amount: int | None) -> str:
    return NOTHING if amount is None else size(amount)
