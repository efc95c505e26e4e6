"""The head of the screen: the daemon, its configuration, its memory, and all models together; and its last line, the keys."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from mlxd.quantities import size
from mlxd.terminal.top.charts import Part, fitting_bar
from mlxd.terminal.top.frame import Frame
from mlxd.terminal.top.history import NOW
from mlxd.terminal.top.line import line, spread
from mlxd.terminal.values import NOTHING, ago, on_one_line, per_second, share, span

_BAR = 40  # characters
_KEYS = (("q", "quit"), ("?", "help"), ("↑↓", "model"), ("⏎", "only this model"), ("s", "sort"), ("p", "pause"))
_HELP = (
    ("q, Ctrl-C", "quit"),
    ("↑ ↓, k j", "choose a model; its requests are shown below"),
    ("Enter", "only the chosen model, with room for its requests; again, or Esc: all models"),
    ("s", "sort models: as in the file, by tokens per second, requests, memory, name"),
    ("p, space", "hold the picture still; what happens meanwhile is kept for the curves"),
    ("", ""),
    ("tok/s", f"tokens of the last {NOW:g} seconds, generated or of prompts computed, per second"),
    ("ttft", "time to first token, of requests that ended in the last minute: half, and 95 %, took no longer"),
    ("hits", "share of their prompt tokens that was found in the prefix cache"),
    ("kv", "keys and values: █ held by running requests, ▒ kept for later ones, ░ free"),
)


def header(frame: Frame, width: int) -> list[Text]:
    """Returns what is always at the top."""
    return [_daemon(frame, width), *_silence(frame, width), _memory(frame.status["memory"], width), _totals(frame, width)]


def footer(frame: Frame, width: int) -> Text:
    """Returns the keys, and the order of models."""
    keys = [Text.assemble((key, "bold"), f" {verb}" + (f": {frame.view.sort}" if verb == "sort" else "")) for key, verb in _KEYS]
    return line(width, *keys)


def help_lines(width: int) -> list[Text]:
    """Returns what the keys do and what the figures mean. Long lines go on under themselves."""
    lines: list[Text] = []
    for term, meaning in _HELP:
        room = max(20, width - 12)
        first, *more = textwrap.wrap(meaning, room) or [""]
        lines.append(line(width, Text.assemble((f"{term:<12}", "bold"), first)))
        lines += [line(width, Text(" " * 12 + one)) for one in more]
    return lines


def _daemon(frame: Frame, width: int) -> Text:
    status, config = frame.status, frame.status["config"]
    title = Text.assemble(("mlxd ", "bold"), (on_one_line(status["version"]), "bold"))
    state = Text("draining", "bold yellow") if status["draining"] else Text(f"up {ago(status['started'], frame.now)}")
    shown = line(width, title, state, _config(config), Text(f"loaded {ago(config['loaded'], frame.now)} ago", "dim"))
    return spread(width, shown, Text(" paused ", "reverse")) if frame.view.is_paused else shown


def _config(config: Mapping[str, Any]) -> Text:
    if config["last_reload_successful"]:
        return Text.assemble("config ", ("ok", "green"), (f" {on_one_line(config['sha256'][:12])}", "dim"))
    return Text.assemble("config ", ("refused" if config["last_error"] else "a model could not follow", "bold red"))


def _silence(frame: Frame, width: int) -> Iterator[Text]:
    if frame.silent is not None:
        why = f"; {on_one_line(frame.failure)}" if frame.failure else ""
        yield line(width, Text(f"no answer for {span(frame.silent)}, trying again{why}", "bold red"))


def _memory(memory: Mapping[str, Any], width: int) -> Text:
    limit, reserved = memory["limit_bytes"], memory["reserved_bytes"]
    used = reserved / limit if limit else 0.0
    style = "red" if used > 0.95 else "yellow" if used > 0.8 else "green"
    figures = Text(f"{size(reserved)} of {size(limit)} reserved ({share(used)})")
    parts = [Part(reserved, "█", style), Part(max(0, limit - reserved), "░", "dim")]
    return line(width, Text("memory", "dim"), *fitting_bar(parts, _BAR, width - len("memory "), figures), figures, gap=" ")


def _totals(frame: Frame, width: int) -> Text:
    models = frame.status["models"]
    states = ", ".join(f"{count} {on_one_line(state)}" for state, count in Counter(model["state"] for model in models).items())
    running = sum(model["requests"]["running"] for model in models)
    waiting = sum(model["requests"]["waiting"] for model in models)
    rates = [rate for model in models if (rate := frame.history.recent(model["id"], NOW).rate("generated")) is not None]
    speed = per_second(sum(rates)) if rates else NOTHING
    return line(
        width,
        Text.assemble(("now    ", "dim"), (speed, "bold green"), " tok/s"),
        Text.assemble((str(running), "bold"), " running, ", (str(waiting), "bold yellow" if waiting else "bold"), " waiting"),
        Text.assemble(("models ", "dim"), states or "none"),
    )
