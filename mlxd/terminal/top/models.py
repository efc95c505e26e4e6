"""The table of all models, one line each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rich.text import Text

from mlxd.quantities import size
from mlxd.terminal.ranked_table import Column, lines
from mlxd.terminal.status_table import encodes, model_name, model_state, process_bytes
from mlxd.terminal.top.charts import bar, curve
from mlxd.terminal.top.frame import Frame, Model
from mlxd.terminal.top.history import NOW, WINDOW, Recent
from mlxd.terminal.top.kv import kv_parts
from mlxd.terminal.top.line import titled, window
from mlxd.terminal.values import NOTHING, latency, on_one_line, per_second, share

_CURVE, _BAR = 20, 10  # characters
_MARK = 2
_ROOMY = 76


def models_table(frame: Frame, width: int, height: int) -> list[Text]:
    """Returns the head and ``height`` - 1 models, or as many as there are; the chosen one is among them."""
    models, chosen = frame.models, frame.chosen
    if chosen is None:
        return [Text("no models are configured", "dim")]
    shown = [models[index] for index in window(len(models), height - 1, frame.ids.index(chosen["id"]))]
    rows = [_Row(model, frame.history.recent(model["id"], NOW), frame.history.recent(model["id"], WINDOW), frame, width) for model in shown]
    names = Column(titled("MODEL", shown, len(models)), [model_name(model) for model in shown], justify="left")
    others = [Column(one.title, [_text(one.cell(row)) for row in rows], one.rank, one.justify) for one in _COLUMNS]
    head, *made = lines(names, others, width - _MARK)
    return [Text("  ").append_text(head), *(_marked(text, is_chosen=model is chosen) for text, model in zip(made, shown, strict=True))]


def _marked(text: Text, *, is_chosen: bool) -> Text:
    made = Text(no_wrap=True, overflow="crop")
    return made.append("▶ " if is_chosen else "  ", "bold cyan").append_text(text)


@dataclass(frozen=True)
class _Row:
    model: Model
    now: Recent
    minute: Recent
    frame: Frame
    width: int  # of the terminal


@dataclass(frozen=True)
class _Column:
    """A column of the table; columns of a higher ``rank`` are left out first (``ranked_table``)."""

    title: str
    cell: Callable[[_Row], Text | str]
    rank: int = 0
    justify: Literal["left", "right"] = "right"


def _text(cell: Text | str) -> Text:
    return Text(cell) if isinstance(cell, str) else cell


def _state(row: _Row) -> Text:
    """Returns a model's state, and how far a load is where there is room to say it."""
    state = model_state(row.model)
    return state if row.width >= _ROOMY else state[: len(on_one_line(row.model["state"]))]


def _waiting(row: _Row) -> Text:
    waiting = row.model["requests"]["waiting"]
    return Text(str(waiting), "yellow" if waiting else "")


def _generated(row: _Row) -> Text:
    return Text(NOTHING) if encodes(row.model) else Text(per_second(row.now.rate("generated")), "bold")


def _curve(row: _Row) -> Text:
    if encodes(row.model):
        return curve(row.frame.history.series(row.model["id"], "prompt", _CURVE), style="cyan")[0]
    return curve(row.frame.history.series(row.model["id"], "generated", _CURVE), style="green")[0]


def _memory(row: _Row) -> str:
    used = process_bytes(row.model)
    return NOTHING if used is None else size(used)


def _restarts(row: _Row) -> Text:
    restarts = row.model["restarts"]
    return Text(str(restarts), "bold red" if restarts else "")


_COLUMNS = (
    _Column("STATE", _state, justify="left"),
    _Column("RUN", lambda row: str(row.model["requests"]["running"])),
    _Column("WAIT", _waiting),
    _Column("TOK/S", _generated),
    _Column("LAST MINUTE", _curve, rank=2, justify="left"),
    _Column("PROMPT/S", lambda row: per_second(row.now.rate("prompt")), rank=3),
    _Column("TTFT P50", lambda row: latency(row.minute.first_token(0.5)), rank=4),
    _Column("TTFT P95", lambda row: latency(row.minute.first_token(0.95)), rank=1),
    _Column("HITS", lambda row: share(row.minute.hit_share), rank=5),
    _Column("KV", lambda row: bar(kv_parts(row.model["cache"]), _BAR), rank=7, justify="left"),
    _Column("MEMORY", _memory, rank=6),
    _Column("RESTARTS", _restarts, rank=8),
)
