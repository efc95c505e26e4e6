"""``mlxd status``: the admin API's answer as a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mlxd.terminal.values import NOTHING, ago, counted, printable, size, time_of

_STATE_STYLES = {"ready": "green", "loading": "yellow", "draining": "yellow", "failed": "bold red", "stopped": "dim"}


def render_status(status: Mapping[str, Any]) -> RenderableType:
    """``status`` is the answer of ``GET /admin/v1/status``. Columns that do not fit the console are left out."""
    now = time_of(status["time"])
    return Group(_header(status, now), "", _Models(status["models"], now), *_notes(status))


# ---- the daemon ----


def _header(status: Mapping[str, Any], now: datetime) -> RenderableType:
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column(overflow="fold")
    state = Text("  draining", style="yellow") if status["draining"] else Text("")
    lines.add_row("mlxd", Text(f"{status['version']}  pid {status['pid']}  up {ago(status['started'], now)}").append_text(state))
    config = status["config"]
    lines.add_row("config", Text(printable(config["path"])))
    lines.add_row("", Text(f"sha256 {config['sha256'][:12]}  loaded {ago(config['loaded'], now)} ago  ").append_text(_reload(config)))
    for listener in status["listeners"]:
        lines.add_row(listener["role"], Text(printable(_url(listener["address"]))))
    memory = status["memory"]
    lines.add_row("memory", f"{size(memory['reserved_bytes'])} of {size(memory['limit_bytes'])} reserved")
    return lines


def _reload(config: Mapping[str, Any]) -> Text:
    if config["last_reload_successful"]:
        return Text("ok", style="green")
    return Text("the newest file was refused" if config["last_error"] else "a model could not follow", style="bold red")


def _url(address: str) -> str:
    return address if address.startswith("unix:") else f"http://{address}"


@dataclass(frozen=True)
class _Note:
    """What is wrong, or not as it was asked for."""

    about: str
    message: str | None
    style: str = "yellow"


def _notes(status: Mapping[str, Any]) -> list[RenderableType]:
    """Each on lines of its own, wrapped under itself."""
    config = status["config"]
    found = [_Note("config", config["last_error"], "bold red"), *(note for model in status["models"] for note in _notes_on(model))]
    notes = [note for note in found if note.message]
    lines = [Padding(Text.assemble((f"{note.about}: ", note.style), printable(note.message or "")), (0, 0, 0, 2)) for note in notes]
    return ["", *lines] if lines else []


def _notes_on(model: Mapping[str, Any]) -> list[_Note]:
    name, differs, last_error = model["id"], model["differs"], model["last_error"]
    notes = [_Note(name, f"not what the file says: {differs}" if differs else None)]
    if last_error != differs:
        notes.append(_Note(name, last_error, "bold red"))
    if model["runner"] and model["runner"]["fallback"]:
        notes.append(_Note(name, model["runner"]["reason"]))
    if model["leaving_pids"]:
        notes.append(_Note(name, _leaving(model["leaving_pids"]), "dim"))
    return notes


def _leaving(pids: list[int]) -> str:
    ends = "ends" if len(pids) == 1 else "end"
    return f"{counted(len(pids), 'old worker')} {ends} once its requests are done (pid {', '.join(map(str, pids))})"


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
    return Text(printable(cell)) if isinstance(cell, str) else cell


def _name(model: Mapping[str, Any], _: datetime) -> Text:
    name = Text(printable(model["id"]), style="bold")
    return name.append(printable(f" ({', '.join(model['aliases'])})"), style="dim not bold") if model["aliases"] else name


def _state(model: Mapping[str, Any], _: datetime) -> Text:
    """With how far a load is: of the model, or of the worker that is to take over."""
    text = Text(printable(model["state"]), style=_STATE_STYLES.get(model["state"], ""))
    if model["restart_in_seconds"] is not None:
        return text.append(f", retry in {max(0, round(model['restart_in_seconds']))}s")
    if model["replacing"]:
        return text.append(f", replacing{_progress(model['progress'])}", style="yellow")
    return text.append(_progress(model["progress"])) if model["state"] == "loading" else text


def _progress(progress: Mapping[str, Any] | None) -> str:
    if progress is None:
        return ""
    share = "" if progress["fraction"] is None else f" {progress['fraction']:.0%}"
    return f": {printable(progress['stage'])}{share}" if progress["stage"] != "loading" else share


def _memory(model: Mapping[str, Any], _: datetime) -> str:
    """What the process really holds, which on a GPU may be in MLX's own counters alone."""
    memory = model["memory"]
    return size(max(memory["rss_bytes"], memory["mlx_active_bytes"] + memory["mlx_cache_bytes"])) if memory else NOTHING


def _hits(model: Mapping[str, Any], _: datetime) -> str:
    """Share of prompt tokens found in the prefix cache since the daemon started."""
    cache = model["cache"]
    return f"{cache['hit_tokens'] / cache['query_tokens']:.0%}" if cache["query_tokens"] else NOTHING


def _cached(model: Mapping[str, Any], _: datetime) -> str:
    """Keys and values, of running and of past requests."""
    cache = model["cache"]
    return NOTHING if cache["used_bytes"] is None else size(cache["used_bytes"] + cache["cached_bytes"])


def _runner(model: Mapping[str, Any], _: datetime) -> Text:
    """One that was not asked for stands out; why is below the table."""
    runner = model["runner"]
    return Text(printable(runner["name"]), style="yellow" if runner["fallback"] else "") if runner else Text(NOTHING)


_COLUMNS = (
    _Column("MODEL", _name, justify="left"),
    _Column("STATE", _state, justify="left"),
    _Column("SINCE", lambda model, now: ago(model["since"], now)),
    _Column("RUN", lambda model, _: str(model["requests"]["running"])),
    _Column("WAIT", lambda model, _: str(model["requests"]["waiting"])),
    _Column("MEMORY", _memory, rank=1),
    _Column("HITS", _hits, rank=2),
    _Column("CACHE", _cached, rank=5),
    _Column("RESTARTS", lambda model, _: str(model["restarts"]), rank=4),
    _Column("PID", lambda model, _: str(model["pid"] or NOTHING), rank=3),
    _Column("RUNNER", _runner, rank=6, justify="left"),
    _Column("DEVICE", lambda model, _: f"{model['device']} {model['dtype']}" if model["device"] else NOTHING, rank=7, justify="left"),
)
