"""``mlxd status``: the admin API's answer as a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_STATE_STYLES = {"ready": "green", "loading": "yellow", "draining": "yellow", "failed": "bold red", "stopped": "dim"}
_NOTHING = "-"


def render_status(status: Mapping[str, Any]) -> RenderableType:
    """``status`` is the answer of ``GET /admin/v1/status``. Columns that do not fit the console are left out."""
    now = _time(status["time"])
    return Group(_header(status, now), "", _Models(status["models"], now), *_errors(status))


# ---- the daemon ----


def _header(status: Mapping[str, Any], now: datetime) -> RenderableType:
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column(overflow="fold")
    state = Text("  draining", style="yellow") if status["draining"] else Text("")
    lines.add_row("mlxd", Text(f"{status['version']}  pid {status['pid']}  up {_ago(status['started'], now)}").append_text(state))
    config = status["config"]
    lines.add_row("config", Text(config["path"]))
    lines.add_row("", Text(f"sha256 {config['sha256'][:12]}  loaded {_ago(config['loaded'], now)} ago  ").append_text(_reload(config)))
    for listener in status["listeners"]:
        lines.add_row(listener["role"], Text(_url(listener["address"])))
    return lines


def _reload(config: Mapping[str, Any]) -> Text:
    return Text("ok", style="green") if config["last_reload_successful"] else Text("the newest file was refused", style="bold red")


def _url(address: str) -> str:
    return address if address.startswith("unix:") else f"http://{address}"


def _errors(status: Mapping[str, Any]) -> list[RenderableType]:
    """And what is not as it was asked for. Each on lines of its own, wrapped under itself."""
    found = [("config", status["config"]["last_error"], "bold red")]
    for model in status["models"]:
        found.append((model["id"], model["last_error"], "bold red"))
        if model["runner"] and model["runner"]["fallback"]:
            found.append((model["id"], model["runner"]["reason"], "yellow"))
    errors = [(name, message, style) for name, message, style in found if message]
    lines = [Padding(Text.assemble((f"{name}: ", style), _printable(message)), (0, 0, 0, 2)) for name, message, style in errors]
    return ["", *lines] if lines else []


# ---- the models ----


_GAP = 2  # characters between columns
_LEAST_NAME = 20  # characters of the names that are worth more than another column


@dataclass(frozen=True)
class _Column:
    title: str
    cell: Callable[[Mapping[str, Any], datetime], Text | str]
    rank: int = 0  # where room lacks, the highest goes first; 0 stays
    justify: Literal["left", "right"] = "right"


@dataclass(frozen=True)
class _Filled:
    """A column with its cells, which are never cut."""

    column: _Column
    cells: list[Text]

    @property
    def width(self) -> int:
        return max(cell.cell_len for cell in [Text(self.column.title), *self.cells])


class _Models:
    """Knows how wide it may be only when it is drawn."""

    def __init__(self, models: list[Mapping[str, Any]], now: datetime) -> None:
        self._filled = [_Filled(column, [_text(column.cell(model, now)) for model in models]) for column in _COLUMNS]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        names, others = self._filled[0], self._filled[1:]
        while self._room(others, options) < min(names.width, _LEAST_NAME) and (least := max(others, key=_rank)).column.rank:
            others.remove(least)
        table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
        name_width = max(5, min(names.width, self._room(others, options)))
        for shown, width in [(names, name_width), *((other, other.width) for other in others)]:
            table.add_column(shown.column.title, justify=shown.column.justify, width=width, no_wrap=True, overflow="ellipsis")
        for row in zip(names.cells, *(other.cells for other in others), strict=True):
            table.add_row(*row)
        yield table

    @staticmethod
    def _room(others: list[_Filled], options: ConsoleOptions) -> int:
        """For the names, beside the other columns."""
        return options.max_width - sum(_GAP + other.width for other in others)


def _rank(filled: _Filled) -> int:
    return filled.column.rank


def _text(cell: Text | str) -> Text:
    return Text(cell) if isinstance(cell, str) else cell


def _name(model: Mapping[str, Any], _: datetime) -> Text:
    name = Text(model["id"], style="bold")
    return name.append(f" ({', '.join(model['aliases'])})", style="dim not bold") if model["aliases"] else name


def _state(model: Mapping[str, Any], _: datetime) -> Text:
    text = Text(model["state"], style=_STATE_STYLES.get(model["state"], ""))
    if model["restart_in_seconds"] is not None:
        return text.append(f", retry in {max(0, round(model['restart_in_seconds']))}s")
    progress = model["progress"]
    if model["state"] != "loading" or progress is None:
        return text
    share = "" if progress["fraction"] is None else f" {progress['fraction']:.0%}"
    return text.append(f": {progress['stage']}{share}" if progress["stage"] != "loading" else share)


def _memory(model: Mapping[str, Any], _: datetime) -> str:
    """What the process really holds, which on a GPU may be in MLX's own counters alone."""
    memory = model["memory"]
    return _size(max(memory["rss_bytes"], memory["mlx_active_bytes"] + memory["mlx_cache_bytes"])) if memory else _NOTHING


def _hits(model: Mapping[str, Any], _: datetime) -> str:
    """Share of prompt tokens found in the prefix cache since the daemon started."""
    cache = model["cache"]
    return f"{cache['hit_tokens'] / cache['query_tokens']:.0%}" if cache["query_tokens"] else _NOTHING


def _cached(model: Mapping[str, Any], _: datetime) -> str:
    """Keys and values, of running and of past requests."""
    cache = model["cache"]
    return _NOTHING if cache["used_bytes"] is None else _size(cache["used_bytes"] + cache["cached_bytes"])


def _runner(model: Mapping[str, Any], _: datetime) -> Text:
    """One that was not asked for stands out; why is below the table."""
    runner = model["runner"]
    return Text(runner["name"], style="yellow" if runner["fallback"] else "") if runner else Text(_NOTHING)


_COLUMNS = (
    _Column("MODEL", _name, justify="left"),
    _Column("STATE", _state, justify="left"),
    _Column("SINCE", lambda model, now: _ago(model["since"], now)),
    _Column("RUN", lambda model, _: str(model["requests"]["running"])),
    _Column("WAIT", lambda model, _: str(model["requests"]["waiting"])),
    _Column("MEMORY", _memory, rank=1),
    _Column("HITS", _hits, rank=2),
    _Column("CACHE", _cached, rank=5),
    _Column("RESTARTS", lambda model, _: str(model["restarts"]), rank=4),
    _Column("PID", lambda model, _: str(model["pid"] or _NOTHING), rank=3),
    _Column("RUNNER", _runner, rank=6, justify="left"),
    _Column("DEVICE", lambda model, _: f"{model['device']} {model['dtype']}" if model["device"] else _NOTHING, rank=7, justify="left"),
)


# ---- values ----


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _ago(since: str, now: datetime) -> str:
    """The two greatest units: ``"3d 4h"``, ``"2m 5s"``."""
    seconds = max(0, int((now - _time(since)).total_seconds()))
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    first = next((index for index, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2])


def _size(size: float) -> str:
    """Three digits or four: ``"812 MiB"``, ``"1.2 GiB"``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1000:
            return f"{size:.1f} {unit}" if size < 10 and unit != "B" else f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _printable(text: str) -> str:
    """A worker's last words may hold anything; they must not drive the terminal."""
    return "".join(character if character.isprintable() or character == "\n" else repr(character)[1:-1] for character in text)
