"""``mlxd cache``: what directories hold of caches, and what was removed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mlxd.quantities import size
from mlxd.terminal.values import ago, counted, printable


def render_directories(directories: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Renders the directories of ``GET /admin/v1/cache``."""
    if not directories:
        return Text("no model keeps anything on disk: cache.disk.path is not set")
    parts: list[RenderableType] = []
    for directory in directories:
        parts += [*([""] if parts else []), *_directory(directory)]
    return Group(*parts)


def render_removals(removed: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Renders what ``DELETE /admin/v1/cache`` removed."""
    if not removed:
        return Text("no model keeps anything on disk: cache.disk.path is not set")
    return Text("\n".join(f"{printable(one['path'])}: {_removal(one)}" for one in removed))


def _removal(one: Mapping[str, Any]) -> str:
    return printable(one["problem"]) if one["problem"] else f"{counted(one['blocks'], 'block')}, {size(one['bytes'])} removed"


def _directory(directory: Mapping[str, Any]) -> list[RenderableType]:
    limit = directory["limit_bytes"]
    of = f" of {size(limit)}" if limit is not None else ""
    parts: list[RenderableType] = [Text.assemble((printable(directory["path"]), "bold"), f"  {size(directory['bytes'])}{of}")]
    if directory["problem"]:
        parts.append(Text(printable(directory["problem"]), style="red"))
    parts += [
        Text(f"{printable(user['model'])} is {user['state'] or 'off'}: {printable(user['reason'])}", style="yellow")
        for user in directory["users"]
        if user["state"] != "on"
    ]
    return [*parts, _caches(directory["caches"])] if directory["caches"] else parts


def _caches(caches: Sequence[Mapping[str, Any]]) -> Table:
    table, now = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold"), datetime.now(UTC)
    for title in ("MODEL", "WEIGHTS", "BLOCKS", "SIZE", "USED"):
        table.add_column(title, justify="left" if title in {"MODEL", "WEIGHTS"} else "right", no_wrap=True, overflow="fold")
    for cache in caches:
        table.add_row(
            Text(printable(cache["model"])),
            cache["weights"],
            f"{cache['blocks']:,}",
            size(cache["bytes"]),
            f"{ago(cache['used'], now)} ago",
        )
    return table
