"""The chosen model in detail: its speed over the last minute, latencies, caches and memory."""

from collections.abc import Iterator

from rich.text import Text

from mlxd.quantities import size
from mlxd.terminal.status_table import encodes, model_name, process_bytes
from mlxd.terminal.top.charts import curve, fitting_bar
from mlxd.terminal.top.frame import Frame, Model
from mlxd.terminal.top.history import NOW, WINDOW, Kind, Recent
from mlxd.terminal.top.kv import kv_figures, kv_parts
from mlxd.terminal.top.line import GAP, line, rule
from mlxd.terminal.values import NOT_MEASURED, NOTHING, counted, latency, on_one_line, per_second, share

_FACTS = 5  # lines that are not curves: the title, and one fact each
_CURVES = 2, 9  # lines of them, at least and at most
_LABEL = 12  # characters
_SPEED = 18  # characters that follow a curve
_BAR = 24
_QUIET = {"loaded", "unloaded"}  # states of adapters that are said by their number


def heights(model: Model) -> tuple[int, int]:
    """Returns the least and the most lines of the card."""
    least, most = _CURVES
    return _facts(model) + least, _facts(model) + most


def card(frame: Frame, model: Model, width: int, height: int) -> list[Text]:
    """Returns so many lines, in which curves take what facts leave."""
    rows = height - _facts(model)
    if encodes(model):
        return [rule(width, _title(model)), *_speed(frame, model, "prompt", width, rows), *_encoding(model, width)]
    minute = frame.history.recent(model["id"], WINDOW)
    return [
        rule(width, _title(model)),
        *_speed(frame, model, "generated", width, rows - rows // 3),
        *_speed(frame, model, "prompt", width, rows // 3),
        _fact(width, "first token", *_first_token(minute)),
        _fact(width, "cache hits", *_hits(minute)),
        _fact(width, "kv", *_kv(model, width)),
        *([_fact(width, "adapters", *_adapters(model))] if model["adapters"] else []),
        _fact(width, "memory", *_memory(model)),
    ]


def _facts(model: Model) -> int:
    return _FACTS + (1 if model["adapters"] and not encodes(model) else 0)


def _encoding(model: Model, width: int) -> Iterator[Text]:
    """Yields the facts of a model that makes vectors or scores, as many as others have."""
    known = model["encoding"]
    vectors = counted(known["dimension"], "number") if known and known["dimension"] else NOTHING
    yield _fact(width, "vectors", vectors, *([on_one_line(known["pooling"])] if known and known["pooling"] else []))
    yield _fact(width, "scores", on_one_line(known["scores"] or NOTHING) if known else NOTHING)
    yield _fact(width, "longest", f"{counted(known['most_tokens'], 'token')} of a text, or pair" if known else NOTHING)
    yield _fact(width, "memory", *_memory(model))


def _title(model: Model) -> Text:
    runner, title = model["runner"], model_name(model)
    if runner:
        title.append(f"  {on_one_line(runner['name'])} on {on_one_line(model['device'])}, {on_one_line(model['dtype'])}", "dim not bold")
    return title


def _fact(width: int, label: str, *parts: Text | str) -> Text:
    fact = line(width - _LABEL, *parts)
    return Text(no_wrap=True, overflow="crop").append(f"{label:<{_LABEL}}", "dim").append_text(fact)


def _speed(frame: Frame, model: Model, kind: Kind, width: int, rows: int) -> Iterator[Text]:
    """Yields the curve of the last minute, and beside its last row the speed of this moment."""
    label, style = {"generated": ("generation", "green"), "prompt": ("texts" if encodes(model) else "prompts", "cyan")}[kind]
    now = per_second(frame.history.recent(model["id"], NOW).rate(kind))
    series = frame.history.series(model["id"], kind, max(10, width - _LABEL - _SPEED))
    is_upper = kind == "generated" or encodes(model)
    drawn = curve(series, rows=rows, style=style)
    for index, text in enumerate(drawn):
        is_first, is_last = index == 0, index == rows - 1
        speed = Text.assemble((f"{now:>7}", "bold"), " tok/s") if is_last else _peak(series) if is_first else Text("")
        yield _fact(width, label if is_last else "last minute" if is_first and is_upper else "", text, speed)


def _peak(series: list[float | None]) -> Text:
    known = [value for value in series if value is not None]
    return Text(f"{per_second(max(known)):>7} highest", "dim") if known else Text("")


def _first_token(minute: Recent) -> Iterator[Text]:
    if minute.added is None or not minute.added.first_tokens.total:
        yield Text(f"{NOT_MEASURED}: no request ended in the last minute", "dim")
        return
    yield Text.assemble(("p50 ", "dim"), (latency(minute.first_token(0.5)), "bold"))
    yield Text.assemble(("p95 ", "dim"), (latency(minute.first_token(0.95)), "bold"))
    yield Text(f"{counted(minute.added.first_tokens.total, 'request')} in the last minute", "dim")


def _hits(minute: Recent) -> Iterator[Text]:
    if minute.added is None or minute.hit_share is None:
        yield Text(f"{NOT_MEASURED}: nothing was looked for in the last minute", "dim")
        return
    yield Text(share(minute.hit_share), "bold")
    yield Text(f"{minute.added.found:,} of {minute.added.looked_up:,} prompt tokens in the last minute", "dim")


def _kv(model: Model, width: int) -> Iterator[Text]:
    figures = kv_figures(model["cache"])
    yield from fitting_bar(kv_parts(model["cache"]), _BAR, width - _LABEL, *figures, gap=len(GAP))
    yield from figures or [Text(NOTHING, "dim")]
    yield from [Text("blocks", "dim")] if model["cache"]["blocks"] else []


def _adapters(model: Model) -> Iterator[Text]:
    """Yields how many are loaded, and then those of which there is more to say: asked for by most requests first."""
    adapters = model["adapters"]
    loaded = sum(one["state"] == "loaded" for one in adapters)
    yield Text.assemble((f"{loaded}", "bold"), f" of {len(adapters)} loaded")
    for one in sorted(adapters, key=lambda one: -one["requests"]):
        said = [] if one["state"] in _QUIET else [one["state"]]
        said += [counted(one["requests"], "request")] if one["requests"] else []
        if said:
            yield Text(on_one_line(f"{one['name']} {', '.join(said)}"), "red" if one["state"] == "failed" else "")


def _memory(model: Model) -> Iterator[Text]:
    used = process_bytes(model)
    yield Text.assemble((NOTHING if used is None else size(used), "bold"), " in use")
    yield Text(f"{size(model['reserved_bytes'])} reserved")
    yield Text(counted(model["restarts"], "restart"), "bold red" if model["restarts"] else "")
