"""``mlxd keys``: who uses how much, and of how much that it may use."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from mlxd.terminal.ranked_table import Column, lines
from mlxd.terminal.values import NOTHING, ago, on_one_line

_Key = Mapping[str, Any]


def render_keys(keys: Sequence[_Key]) -> RenderableType:
    """Renders the answer of ``GET /admin/v1/keys``. Columns that do not fit the console are left out."""
    return _Keys(keys)


class _Keys:
    """The table of keys, which learns how wide it may be only when it is drawn."""

    def __init__(self, keys: Sequence[_Key]) -> None:
        self._keys = keys

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        now = datetime.now(UTC)
        names = Column("KEY", [Text(on_one_line(key["name"]), style="bold") for key in self._keys], justify="left")
        yield from lines(names, [self._column(title, cell, rank, now) for title, cell, rank in _COLUMNS], options.max_width)

    def _column(self, title: str, cell: "_Cell", rank: int, now: datetime) -> Column:
        return Column(title, [cell(key, now) for key in self._keys], rank)


_Cell = Callable[[_Key, datetime], Text]


def _of(used: int, limit: int | None) -> Text:
    """Returns what is used of a limit, if there is one: red once it is reached."""
    text = f"{used:,}" if limit is None else f"{used:,} of {limit:,}"
    return Text(text, style="red" if limit is not None and used >= limit else "")


def _count(number: int) -> Text:
    return Text(f"{number:,}")


def _last_used(key: _Key, now: datetime) -> Text:
    return Text(NOTHING if key["last_used"] is None else f"{ago(key['last_used'], now)} ago")


# Title, cell, and rank: where room lacks, the highest goes first.
_COLUMNS: tuple[tuple[str, _Cell, int], ...] = (
    ("RUN", lambda key, _: _of(key["running"], key["limits"]["max_concurrent"]), 0),
    ("REQ/MIN", lambda key, _: _of(key["requests_this_minute"], key["limits"]["requests_per_minute"]), 0),
    ("TOK/MIN", lambda key, _: _of(key["tokens_this_minute"], key["limits"]["tokens_per_minute"]), 0),
    ("REQUESTS", lambda key, _: _count(key["requests"]), 2),
    ("IN", lambda key, _: _count(key["tokens"]["prompt"]), 3),
    ("CACHED", lambda key, _: _count(key["tokens"]["cached"]), 5),
    ("OUT", lambda key, _: _count(key["tokens"]["completion"]), 4),
    ("REFUSED", lambda key, _: _count(sum(key["refused"].values())), 1),
    ("USED", _last_used, 6),
)
