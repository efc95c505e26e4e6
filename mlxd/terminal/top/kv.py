"""Keys and values of a model: held by running requests, kept for later ones, and what is free."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from mlxd.quantities import size
from mlxd.terminal.top.charts import Part


def kv_parts(cache: Mapping[str, Any]) -> list[Part]:
    """Returns the parts in blocks, or in bytes where there are no blocks; nothing where there is no cache, or it has no limit."""
    blocks = cache["blocks"]
    if blocks is not None:
        return _parts(blocks["used"], blocks["cached"], blocks["free"])
    if not cache["limit_bytes"]:
        return []
    used, cached = cache["used_bytes"] or 0, cache["cached_bytes"] or 0
    return _parts(used, cached, max(0, cache["limit_bytes"] - used - cached))


def kv_figures(cache: Mapping[str, Any]) -> list[Text]:
    """Returns the same in numbers."""
    blocks = cache["blocks"]
    if blocks is not None:
        return [Text(f"{blocks[state]:,} {state}") for state in ("used", "cached", "free")]
    if cache["used_bytes"] is None:
        return []
    limit = [Text(f"of {size(cache['limit_bytes'])}")] if cache["limit_bytes"] else []
    return [Text(f"{size(cache['used_bytes'])} used"), Text(f"{size(cache['cached_bytes'] or 0)} cached"), *limit]


def _parts(used: float, cached: float, free: float) -> list[Part]:
    return [Part(used, "█", "yellow"), Part(cached, "▒", "blue"), Part(free, "░", "dim")]
