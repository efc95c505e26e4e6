"""Short answers of the admin API as tables: requests, what was evicted."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mlxd.quantities import size
from mlxd.terminal.values import NOTHING, ago, counted, printable

_TEXTS = ("MODEL", "REQUEST", "KEY", "ADAPTER", "STAGE")  # columns of words; the others are of numbers


def render_requests(answer: Mapping[str, Any]) -> RenderableType:
    """Renders ``answer``, that of ``GET /admin/v1/models/{id}/requests``. IN, CACHED and OUT count tokens."""
    requests = answer["requests"]
    if not requests:
        return Text(f"{printable(answer['model'])} has no requests")
    keys = ["KEY"] if has_keys(requests) else []
    adapters = ["ADAPTER"] if any(one["adapter"] for one in requests) else []
    table, now = plain_table("REQUEST", *keys, *adapters, "STAGE", "AGE", "IN", "CACHED", "OUT"), datetime.now(UTC)
    for one in requests:
        counts = (NOTHING if one[key] is None else str(one[key]) for key in ("prompt_tokens", "cached_tokens", "completion_tokens"))
        texts = [one["id"], *(one["key"] for _ in keys), *(one["adapter"] or NOTHING for _ in adapters), one["stage"]]
        table.add_row(*map(_text, texts), ago(one["arrived"], now), *counts)
    return table


def has_keys(requests: Sequence[Mapping[str, Any]]) -> bool:
    """Tells whether any of them was asked by a key, so that it is worth showing by which."""
    return any(one["key"] != "anonymous" for one in requests)


def render_evictions(evicted: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Renders ``evicted``, the answer of ``POST /admin/v1/evict``, or one of a single model."""
    if not evicted:
        return Text("no model is ready, so there is no cache")
    lines = [f"{printable(one['model'])}: {counted(one['entries'], 'entry', 'entries')}, {size(one['bytes'])} dropped" for one in evicted]
    return Text("\n".join(lines))


def plain_table(*titles: str) -> Table:
    """Returns a table without lines, under ``titles``: numbers stand at the right of their columns."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, justify="left" if title in _TEXTS else "right", no_wrap=True, overflow="fold")
    return table


def _text(text: str) -> Text:
    return Text(printable(text))
