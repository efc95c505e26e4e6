"""``mlxd status``: the admin API's answer as a table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mlxd.quantities import size
from mlxd.terminal.memory_table import turns
from mlxd.terminal.ranked_table import Column, lines
from mlxd.terminal.values import NOTHING, ago, counted, on_one_line, printable, time_of
from mlxd.types import AttentionState, Task

_STATE_STYLES = {"ready": "green", "loading": "yellow", "draining": "yellow", "failed": "bold red", "stopped": "dim"}


def render_status(status: Mapping[str, Any]) -> RenderableType:
    """Renders ``status``, the answer of ``GET /admin/v1/status``. Columns that do not fit the console are left out."""
    now = time_of(status["time"])
    return Group(_header(status, now), "", _Models(status["models"], now), *below(notes(status)))


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
        lines.add_row(listener["role"], Text(printable(_url(listener))))
    memory = status["memory"]
    lines.add_row("memory", f"{size(memory['reserved_bytes'])} of {size(memory['limit_bytes'])} reserved")
    return lines


def _reload(config: Mapping[str, Any]) -> Text:
    if config["last_reload_successful"]:
        return Text("ok", style="green")
    return Text("the newest file was refused" if config["last_error"] else "a model could not follow", style="bold red")


def _url(listener: Mapping[str, Any]) -> str:
    address, scheme = listener["address"], "http" if listener["certificate"] is None else "https"
    return address if address.startswith("unix:") else f"{scheme}://{address}"


@dataclass(frozen=True)
class Note:
    """A note says what is wrong, or not as it was asked for."""

    about: str
    message: str
    style: str = "yellow"


def notes(status: Mapping[str, Any]) -> list[Note]:
    """Returns the notes on the configuration and on memory, then those on the listeners and the models."""
    error = status["config"]["last_error"]
    on_config = [Note("config", error, "bold red")] if error else []
    measures = ", ".join(printable(measure).replace("_", " ") for measure in status["memory"]["measures"])
    on_memory = [Note("memory", f"the machine is short of it: {measures}")] if measures else []
    on_memory += [Note(title, text) for title, text in turns(status["memory"]["exchange"])]
    on_listeners = dict.fromkeys(note for listener in status["listeners"] for note in _notes_on_listener(listener))
    return [*on_config, *on_memory, *on_listeners, *(note for model in status["models"] for note in notes_on(model))]


def _notes_on_listener(listener: Mapping[str, Any]) -> Iterator[Note]:
    certificate = listener["certificate"]
    if certificate is None:
        return
    if certificate["problem"]:
        yield Note(listener["role"], f"serves the certificate it had: {certificate['problem']}", "bold red")
    yield from (Note(listener["role"], warning) for warning in certificate["warnings"])


def below(found: Sequence[Note]) -> list[RenderableType]:
    """Returns the notes as they stand below a table, each on lines of its own, wrapped under itself."""
    lines = [Padding(Text.assemble((f"{note.about}: ", note.style), printable(note.message)), (0, 0, 0, 2)) for note in found]
    return ["", *lines] if lines else []


def notes_on(model: Mapping[str, Any]) -> Iterator[Note]:
    """What is wrong with one model, or not as it was asked for, or doubtful."""
    name, differs, last_error = model["id"], model["differs"], model["last_error"]
    if differs:
        yield Note(name, f"not what the file says: {differs}")
    if last_error and last_error != differs:
        yield Note(name, last_error, "bold red")
    if model["runner"] and model["runner"]["fallback"]:
        yield Note(name, model["runner"]["reason"])
    for one in model["attention"]["ways"] if model["attention"] else ():
        if one["state"] == AttentionState.REFUSED:
            yield Note(name, f"attention by {one['way']} is refused: {one['reason']}")
    for adapter in model["adapters"]:
        if adapter["reason"] and adapter["reason"] not in (differs or ""):
            yield Note(adapter["id"], adapter["reason"])
    if model["facts"]:
        yield from (Note(name, warning) for warning in model["facts"]["warnings"])
    if model["leaving_pids"]:
        yield Note(name, _leaving(model["leaving_pids"]), "dim")


def _leaving(pids: list[int]) -> str:
    ends = "ends" if len(pids) == 1 else "end"
    return f"{counted(len(pids), 'old worker')} {ends} once its requests are done (pid {', '.join(map(str, pids))})"


# ---- the models ----


@dataclass(frozen=True)
class _Column:
    """A column of the table; columns of a higher ``rank`` are left out first (``ranked_table``)."""

    title: str
    cell: Callable[[Mapping[str, Any], datetime], Text | str]
    rank: int = 0
    justify: Literal["left", "right"] = "right"

    def filled(self, models: Sequence[Mapping[str, Any]], now: datetime) -> Column:
        return Column(self.title, [_text(self.cell(model, now)) for model in models], self.rank, self.justify)


class _Models:
    """The table of models, which learns how wide it may be only when it is drawn."""

    def __init__(self, models: Sequence[Mapping[str, Any]], now: datetime) -> None:
        self._names, *self._others = [column.filled(models, now) for column in _COLUMNS if column.title != _TASK or _some_encode(models)]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        yield from lines(self._names, self._others, options.max_width)


def _text(cell: Text | str) -> Text:
    return Text(printable(cell)) if isinstance(cell, str) else cell


def model_name(model: Mapping[str, Any]) -> Text:
    """Returns a model's name with its aliases."""
    name = Text(on_one_line(model["id"]), style="bold")
    return name.append(f" ({on_one_line(', '.join(model['aliases']))})", style="dim not bold") if model["aliases"] else name


def model_state(model: Mapping[str, Any]) -> Text:
    """Returns a model's state, and how far a load is: of the model, or of the worker that is to take over."""
    text = Text(on_one_line(model["state"]), style=_STATE_STYLES.get(model["state"], ""))
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


def process_bytes(model: Mapping[str, Any]) -> int | None:
    """Returns what the process really holds."""
    return model["memory"]["held_bytes"] if model["memory"] else None


def _memory(model: Mapping[str, Any], _: datetime) -> str:
    used = process_bytes(model)
    return NOTHING if used is None else size(used)


def _hits(model: Mapping[str, Any], _: datetime) -> str:
    """Returns the share of prompt tokens found in the prefix cache since the daemon started."""
    cache = model["cache"]
    return f"{cache['hit_tokens'] / cache['query_tokens']:.0%}" if cache["query_tokens"] else NOTHING


def _cached(model: Mapping[str, Any], _: datetime) -> str:
    """Returns the size of keys and values, of running and of past requests."""
    cache = model["cache"]
    return NOTHING if cache["used_bytes"] is None else size(cache["used_bytes"] + cache["cached_bytes"])


def _runner(model: Mapping[str, Any], _: datetime) -> Text:
    """Returns the runner's name. One that was not asked for stands out; why is below the table."""
    runner = model["runner"]
    return Text(printable(runner["name"]), style="yellow" if runner["fallback"] else "") if runner else Text(NOTHING)


def encodes(model: Mapping[str, Any]) -> bool:
    """Tells whether a model is known to make vectors or scores, and no answers."""
    return model["tasks"] is not None and Task.GENERATE not in model["tasks"]


def _some_encode(models: Sequence[Mapping[str, Any]]) -> bool:
    return any(map(encodes, models))


_TASK = "TASK"  # a column of daemons that do not only generate
_COLUMNS = (
    _Column("MODEL", lambda model, _: model_name(model), justify="left"),
    _Column("STATE", lambda model, _: model_state(model), justify="left"),
    _Column(_TASK, lambda model, _: ", ".join(model["tasks"] or [NOTHING]), rank=1, justify="left"),
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
