"""The screen at many sizes: nothing wraps, no number is cut, and no text drives the terminal."""

import io
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mlxd.adapter_terms import AdapterFigures, AdapterState
from mlxd.config.adapter_table import AdapterTable
from mlxd.control.telemetry import CacheCounters
from mlxd.terminal.top.frame import Frame
from mlxd.terminal.top.history import Look
from mlxd.terminal.top.screen import LEAST_WIDTH, Part, Screen, compose, distribute
from mlxd.terminal.top.view import Sort, View
from mlxd.types import ModelState
from mlxd.wire.messages import Progress
from tests.support.statuses import EMBEDS, model_status, running_status
from tests.unit.terminal.top.looks import HEARTBEAT, PAGED, history, look, request

SIZES = [(width, height) for width in (60, 80, 120, 200) for height in (10, 24, 50)]
LONG = "mlx-community/Qwen3-Coder-30B-A3B-Instruct-8bit"
FETCHING = model_status(LONG, ModelState.LOADING, aliases=("coder",), pid=7, progress=Progress(stage="fetching", done=45, total=100))
FAILED = model_status("llama", ModelState.FAILED, restarts=3, last_error="the worker was killed by SIGKILL; " * 5)
NEW = View()
REQUESTS = [request(f"chatcmpl-{index:032x}", 100 + index) for index in range(40)]


def frame(*models, view=NEW, requests=REQUESTS, silent=None, failure="", **more):
    models = models or (PAGED, FETCHING, FAILED)
    cache = CacheCounters(query_tokens=12_345, hit_tokens=9_876)
    looks = [
        look(100, 1000, *models),
        look(101, 1212, *models, requests=[request(one["id"], one["completion_tokens"] - 10) for one in requests]),
        look(102, 1424, *models, prompt=2048, requests=requests, cache=cache, first_tokens=(0, 34, 0), **more),
    ]
    return Frame(history(*looks), view, silent, failure)


def drawn(one, width=100, height=40):
    return [text.plain.rstrip() for text in compose(one, width, height)]


def test_the_whole_screen():
    assert drawn(frame(requests=REQUESTS[:2]), 100, 27) == [
        "mlxd 0.1.0   up 3h 12m   config ok 5e5e5e5e5e5e   loaded 3h 12m ago",
        "memory ████████████████████░░░░░░░░░░░░░░░░░░░░ 9.0 GiB of 18 GiB reserved (50%)",
        "now    636 tok/s   1 running, 2 waiting   models 1 ready, 1 loading, 1 failed",
        "",
        "  MODEL                      STATE                  RUN  WAIT  TOK/S  LAST MINUTE           TTFT P95",
        "▶ smollm2 (default)          ready                    1     2    212                     █    955 ms",
        "  mlx-community/Qwen3-Code…  loading: fetching 45%    0     0    212                     █    955 ms",
        "  llama                      failed                   0     0    212                     █    955 ms",
        "",
        "smollm2 (default)  paged on cpu, float32 ───────────────────────────────────────────────────────────",
        "last minute                                                                    ███       212 highest",
        "                                                                               ███",
        "                                                                               ███",
        "generation                                                                     ███       212 tok/s",
        "                                                                                 █     2,048 highest",
        "prompts                                                                        ▁▄█     1,024 tok/s",
        "first token p50 550 ms   p95 955 ms   34 requests in the last minute",
        "cache hits  80%   9,876 of 12,345 prompt tokens in the last minute",
        "kv          █████████▒▒▒▒▒░░░░░░░░░░   6 used   3 cached   7 free   blocks",
        "memory      812 MiB in use   0 B reserved   0 restarts",
        "",
        "REQUEST                                    STAGE    AGE     IN  CACHED  OUT  TOK/S  ENDPOINT",
        "chatcmpl-00000000000000000000000000000000  running  12s  1,234     208  100     10  chat_completions",
        "chatcmpl-00000000000000000000000000000001  running  12s  1,234     208  101     10  chat_completions",
        "",
        "llama: the worker was killed by SIGKILL; the worker was killed by SIGKILL; the worker was killed by…",
        "q quit   ? help   ↑↓ model   ⏎ only this model   s sort: file   p pause",
    ]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("view", [View(), View(is_close=True), View(shows_help=True), View(chosen="llama", is_paused=True)])
def test_it_fills_the_terminal_and_no_more(width, height, view):
    lines = compose(frame(view=view, silent=12.0, failure="no daemon listens on unix:/run/mlxd/admin.sock: start it"), width, height)
    assert len(lines) == height
    assert max(text.cell_len for text in lines) <= width
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system="standard", highlight=False)
    for text in lines:
        console.print(text)
    assert console.file.getvalue().count("\n") == height, "nothing wraps"


@pytest.mark.parametrize("width", [LEAST_WIDTH, 60, 80, 120, 200])
def test_no_number_is_cut(width):
    text = "\n".join(drawn(frame(), width, 60))
    for number in ("9.0 GiB of 18 GiB", "p50 550 ms", "p95 955 ms", "80%", "6 used", "3 cached", "812 MiB in use"):
        assert number in text, number
    for found in re.findall(r"(\S*)…", text):
        assert not re.fullmatch(r"[\d.,]+", found), found
    assert re.search(r"▶ smollm2.* ready +1 +2 +212", text)


def test_more_columns_where_there_is_room():
    heads = {width: drawn(frame(PAGED), width, 30)[4].split() for width in (60, 80, 120, 200)}
    assert len(heads[60]) < len(heads[80]) < len(heads[120]) < len(heads[200])
    assert heads[200][-1] == "RESTARTS"


def test_the_chosen_model_stays_in_sight_of_many():
    many = [running_status(f"model-{index}") for index in range(30)]
    text = drawn(frame(*many, view=View(chosen="model-20")), 80, 24)
    assert text[4].startswith("  MODEL 8/30")
    assert [line for line in text if line.startswith("▶ model-20")]


def test_the_model_alone_leaves_room_for_its_requests():
    lines = drawn(frame(view=View(is_close=True)), 100, 40)
    assert not [line for line in lines if "MODEL" in line]
    assert sum("chatcmpl-" in line for line in lines) > 15
    assert [line for line in lines if re.match(r"REQUEST \d+/40 ", line)]


def test_requests_that_are_not_known_yet_are_not_said_to_be_none():
    one = frame(view=View(chosen="llama"))
    assert "asking for its requests" in drawn(one)
    assert "no requests" in drawn(frame(requests=[]))


def test_the_last_errors_are_shown():
    lines = drawn(frame(config_error="mlxd.toml:19: server.lisen: unknown key", requests=[]))
    assert "config: mlxd.toml:19: server.lisen: unknown key" in lines
    assert [line for line in lines if line.startswith("llama: the worker was killed by SIGKILL;") and line.endswith("…")]


def test_silence_is_said_at_the_top():
    lines = drawn(frame(silent=75.0, failure="no daemon\nlistens"), 100)
    assert lines[1] == "no answer for 1m 15s, trying again; no daemon listens"


@pytest.mark.parametrize(
    ("sort", "first"),
    [(Sort.FILE, "b"), (Sort.NAME, "a"), (Sort.REQUESTS, "c"), (Sort.MEMORY, "d"), (Sort.SPEED, "b")],
)
def test_orders(sort, first):
    big = msgspec.structs.replace(HEARTBEAT, memory=msgspec.structs.replace(HEARTBEAT.memory, rss=2**40))
    models = (running_status("b"), running_status("a"), running_status("c", running=90), running_status("d", heartbeat=big))
    assert frame(*models, view=View(sort=sort)).ids[0] == first


def test_a_cache_without_blocks_is_shown_in_bytes():
    text = "\n".join(drawn(frame(running_status("tiny"))))
    assert "5 B used   15 B cached   of 1.0 KiB" in text


def test_a_model_without_a_worker_and_a_daemon_without_models():
    text = "\n".join(drawn(frame(model_status("other", ModelState.STOPPED))))
    assert "n/a" in "\n".join(drawn(Frame(history(look(1)), View())))
    assert "- in use" in text
    empty = look(1)
    empty.status["models"].clear()
    assert "no models are configured" in drawn(Frame(history(empty), View()))


def test_a_terminal_that_is_too_narrow_is_told_so():
    assert drawn(frame(), 40, 24) == ["40 columns are too few:", "48 are needed"]


HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\n\x9b31m\u202e[bold]name[/]"


def test_text_of_others_cannot_drive_the_terminal():
    status = look(0, 0, PAGED, config_error=HOSTILE).status
    status["version"] = status["config"]["sha256"] = HOSTILE
    told = {"id": HOSTILE, "aliases": [HOSTILE], "state": HOSTILE, "last_error": HOSTILE, "device": HOSTILE, "dtype": HOSTILE}
    status["models"][0] |= told | {"differs": HOSTILE + "!", "runner": {"name": HOSTILE, "reason": HOSTILE, "fallback": True}}
    requests = [request(HOSTILE, stage=HOSTILE, endpoint=HOSTILE)]
    one = Frame(history(Look(at=1, status=status, model=HOSTILE, requests=requests)), View(), 3.0, HOSTILE)
    console = Console(file=io.StringIO(), width=120, height=40, force_terminal=True, color_system=None, highlight=False)
    console.print(Screen(one))
    written = console.file.getvalue()
    assert not {"\x1b", "\x07", "\r", "\x9b", "\u202e"} & set(written)
    assert "[bold]name[/]" in written


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), max_size=5), st.integers(-3, 60))
def test_lines_are_shared_out_within_the_room(sizes, room):
    parts = [Part(min(sizes), max(sizes), lambda _: []) for sizes in sizes]
    lines = distribute(parts, room)
    assert sum(one + 1 for one in lines if one) <= max(0, room)
    assert all(one == 0 or part.least <= one <= part.most for one, part in zip(lines, parts, strict=True))


def test_adapters_are_a_line_of_the_model_that_is_shown_in_detail():
    tables = {name: AdapterTable(source=f"org/{name}") for name in ("sql", "law", "poet", "new", "gone")}
    figures = (
        AdapterFigures(name="sql", state=AdapterState.LOADED, requests=1),
        AdapterFigures(name="law", state=AdapterState.LOADED, requests=3),
        AdapterFigures(name="poet", state=AdapterState.LOADING, requests=2),
        AdapterFigures(name="new"),
        AdapterFigures(name="gone", state=AdapterState.FAILED, reason="gone"),
    )
    model = running_status("tuned", adapters=tables, heartbeat=msgspec.structs.replace(HEARTBEAT, adapters=figures))
    lines = drawn(frame(model, FETCHING))
    assert [one for one in lines if one.startswith("adapters")] == [
        "adapters    2 of 5 loaded   law 3 requests   poet loading, 2 requests   sql 1 request   gone failed"
    ]
    narrow = [one for one in drawn(frame(model, FETCHING), 60) if one.startswith("adapters")]
    assert narrow == ["adapters    2 of 5 loaded   law 3 requests"]
    assert len(drawn(frame(model), 100, 10)) == 10
    assert not any(one.startswith("adapters") for one in drawn(frame()))


def test_a_model_that_embeds_shows_its_texts_and_no_answers():
    lines = drawn(frame(running_status("mini", ready=EMBEDS, heartbeat=HEARTBEAT), requests=[]), 100, 24)
    row = next(line for line in lines if line.startswith("▶ mini")).split()
    assert row[:6] == ["▶", "mini", "ready", "1", "2", "-"]
    at = next(number for number, line in enumerate(lines) if line.startswith("mini  encoder on cpu"))
    assert any(line.startswith("last minute") for line in lines[at:])
    assert next(line for line in lines[at:] if line.startswith("texts")).endswith("tok/s")
    assert [line for line in lines[at:] if line.startswith(("vectors", "scores", "longest"))] == [
        "vectors     384 numbers   mean",
        "scores      -",
        "longest     256 tokens of a text, or pair",
    ]
    assert not [line for line in lines[at:] if line.startswith(("generation", "prompts", "first token", "cache hits"))]
