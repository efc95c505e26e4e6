"""The requests of the chosen model."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from mlxd.terminal.ranked_table import Column, lines
from mlxd.terminal.tables import has_keys
from mlxd.terminal.top.frame import Frame
from mlxd.terminal.top.line import line, titled
from mlxd.terminal.values import NOTHING, ago, on_one_line, per_second

_STYLES = {"running": "green", "waiting": "yellow", "loading": "yellow"}


def requests_table(frame: Frame, width: int, height: int) -> list[Text]:
    """Returns the head and the first requests, in the order they came; one line where there are none."""
    requests = frame.requests
    if not requests:
        return [line(width, Text("no requests" if requests is not None else "asking for its requests", "dim"))]
    shown = requests[: height - 1]
    names = Column(titled("REQUEST", shown, len(requests)), [Text(on_one_line(one["id"])) for one in shown], justify="left")
    return lines(names, _columns(frame, shown), width)


def _columns(frame: Frame, shown: Sequence[Mapping[str, Any]]) -> list[Column]:
    def tokens(key: str) -> list[Text]:
        return [Text(NOTHING if one[key] is None else f"{one[key]:,}") for one in shown]

    stages = [Text(on_one_line(one["stage"]), _STYLES.get(one["stage"], "")) for one in shown]
    return [
        Column("STAGE", stages, justify="left"),
        Column("AGE", [Text(ago(one["arrived"], frame.now)) for one in shown]),
        Column("IN", tokens("prompt_tokens")),
        Column("CACHED", tokens("cached_tokens"), rank=1),
        Column("OUT", tokens("completion_tokens")),
        Column("TOK/S", [Text(per_second(frame.history.request_rate(one["id"])), "bold") for one in shown]),
        *([Column("KEY", [Text(on_one_line(one["key"])) for one in shown], rank=3, justify="left")] if has_keys(shown) else []),
        Column("ENDPOINT", [Text(on_one_line(one["endpoint"])) for one in shown], rank=2, justify="left"),
    ]
