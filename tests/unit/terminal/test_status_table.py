"""``mlxd status`` at several widths."""

import io

import msgspec
import pytest
from rich.console import Console

from mlxd.admin.models import describe_all
from mlxd.control.telemetry import CacheCounters
from mlxd.terminal.status_table import render_status
from mlxd.types import CacheFigures, EntryFigures, MemoryFigures, ModelState
from mlxd.wire.messages import Heartbeat, Progress
from tests.support.statuses import EMBEDS, SHA256, FakeDaemon, model_status, running_status

MIB = 2**20
HEARTBEAT = Heartbeat(
    running=1,
    waiting=0,
    steps=1,
    busy_seconds=0,
    memory=MemoryFigures(kv=5 * MIB, mlx_active=600 * MIB, rss=812 * MIB),
    cache=CacheFigures(bytes_used=2 * MIB, bytes_cached=3 * MIB, kept=EntryFigures(count=12)),
)
LONG_ERROR = "the worker was killed by SIGKILL; its last words: libc++abi: terminating due to uncaught exception of type std::runtime_error"


def status_of(*models, config_error=None, draining=False):
    daemon = FakeDaemon(*models)
    daemon.counters = CacheCounters(query_tokens=1000, hit_tokens=630)
    return {
        "time": "2026-01-02T06:16:05.000Z",
        "version": "0.1.0",
        "pid": 4321,
        "started": "2026-01-02T03:04:00.000Z",
        "draining": draining,
        "config": {
            "path": "/etc/mlxd/mlxd.toml",
            "sha256": SHA256,
            "loaded": "2026-01-02T03:04:00.000Z",
            "last_reload_successful": config_error is None,
            "last_error": config_error,
        },
        "listeners": [
            {"role": "inference", "address": "127.0.0.1:8000", "certificate": None},
            {"role": "admin", "address": "unix:/run/mlxd/admin.sock", "certificate": None},
        ],
        "memory": {
            "limit_bytes": 18 * 1024 * MIB,
            "reserved_bytes": 900 * MIB,
            "free_bytes": 0,
            "measures": [],
            "exchange": {"turns": [], "closed": []},
        },
        "models": msgspec.to_builtins(describe_all(daemon.sources)),
    }


def drawn(status, width=80, *, colors=False):
    console = Console(file=io.StringIO(), width=width, force_terminal=colors, color_system="standard" if colors else None)
    console.print(render_status(status))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


READY = running_status("smollm2", aliases=("default",), heartbeat=HEARTBEAT, waiting=0)
FETCHING = model_status("qwen3-8b", ModelState.LOADING, pid=7, progress=Progress(stage="fetching", done=45, total=100))
BACKING_OFF = model_status("llama", ModelState.LOADING, restarts=3, restart_in=7.6, last_error=LONG_ERROR)
FAILED = model_status("mlx-community/Qwen3-Coder-30B-A3B-Instruct-8bit", ModelState.FAILED, aliases=("coder",), last_error="no config.json")


def test_one_ready_model_at_80_columns():
    assert drawn(status_of(READY)) == [
        "mlxd       0.1.0  pid 4321  up 3h 12m",
        "config     /etc/mlxd/mlxd.toml",
        "           sha256 5e5e5e5e5e5e  loaded 3h 12m ago  ok",
        "inference  http://127.0.0.1:8000",
        "admin      unix:/run/mlxd/admin.sock",
        "memory     900 MiB of 18 GiB reserved",
        "",
        "MODEL              STATE   SINCE  RUN  WAIT   MEMORY  HITS  RESTARTS  PID",
        "smollm2 (default)  ready  3h 11m    1     0  812 MiB   63%         0   42",
    ]


def test_all_columns_at_140():
    head, row = drawn(status_of(READY), 140)[-2:]
    assert head.split() == ["MODEL", "STATE", "SINCE", "RUN", "WAIT", "MEMORY", "HITS", "CACHE", "RESTARTS", "PID", "RUNNER", "DEVICE"]
    assert row.endswith("812 MiB   63%  5.0 MiB         0   42  simple  cpu float32")


def test_where_a_model_encodes_it_is_said_what_each_is_for():
    unknown = model_status("later", ModelState.STOPPED)
    head, *rows = [line.split() for line in drawn(status_of(READY, running_status("mini", ready=EMBEDS), unknown), 100)[-4:]]
    assert head[:3] == ["MODEL", "STATE", "TASK"]
    assert ["generate" in rows[0], "embed" in rows[1], rows[2][2]] == [True, True, "-"]
    narrow = drawn(status_of(READY, running_status("mini", ready=EMBEDS)), 48)[-3]
    assert narrow.split() == ["MODEL", "STATE", "SINCE", "RUN", "WAIT"], "what runs is more than what it is for"


@pytest.mark.parametrize("width", [60, 80, 100, 120, 140, 200])
def test_a_model_is_one_line_and_numbers_are_never_cut(width):
    lines = drawn(status_of(READY, FETCHING, BACKING_OFF, FAILED), width)
    assert max(map(len, lines)) <= width
    start = next(index for index, line in enumerate(lines) if line.startswith("MODEL"))
    rows = lines[start : start + 5]
    assert [row.split()[0][:5] for row in rows] == ["MODEL", "smoll", "qwen3", "llama", "mlx-c"]
    assert lines[start + 5] == ""
    assert "loading: fetching 45%" in rows[2]
    assert "loading, retry in 8s" in rows[3]
    assert all("…" not in row for row in rows[:4])


def test_errors_stand_on_their_own_lines_in_full():
    lines = drawn(status_of(READY, BACKING_OFF, FAILED))
    said = " ".join(line.strip() for line in lines[lines.index("", 7) :]).strip()
    assert said == f"llama: {LONG_ERROR} mlx-community/Qwen3-Coder-30B-A3B-Instruct-8bit: no config.json"


def test_no_errors_no_empty_section():
    assert drawn(status_of(READY))[-1].startswith("smollm2")


def test_a_refused_configuration_is_seen():
    lines = drawn(status_of(READY, config_error="mlxd.toml:3: server.lisen: unknown key"))
    assert lines[2].endswith("the newest file was refused")
    assert lines[-1] == "  config: mlxd.toml:3: server.lisen: unknown key"


def test_a_model_that_could_not_follow_is_no_refused_file():
    status = status_of(READY)
    status["config"]["last_reload_successful"] = False
    assert drawn(status)[2].endswith("a model could not follow")


@pytest.mark.parametrize(
    ("progress", "state"),
    [
        (None, "ready, replacing"),
        (Progress(stage="loading", done=1, total=4), "ready, replacing 25%"),
        (Progress(stage="warming"), "ready, replacing: warming"),
    ],
)
def test_a_model_that_is_being_replaced(progress, state):
    line = drawn(status_of(running_status(is_replacing=True, progress=progress)), 100)[-1]
    assert line.removeprefix("tiny ").strip().startswith(f"{state}  ")


def test_workers_that_leave():
    assert drawn(status_of(running_status(leaving=(77,))))[-1] == "  tiny: 1 old worker ends once its requests are done (pid 77)"
    assert drawn(status_of(running_status(leaving=(77, 78))))[-1] == "  tiny: 2 old workers end once its requests are done (pid 77, 78)"


def test_what_runs_is_not_what_the_file_says():
    lines = drawn(status_of(running_status(differs="no config.json", last_error="no config.json")))
    assert lines[-2:] == ["", "  tiny: not what the file says: no config.json"]


def test_an_older_error_is_told_beside_it():
    lines = drawn(status_of(running_status(differs="too few blocks", last_error="killed by SIGKILL")))
    assert lines[-2:] == ["  tiny: not what the file says: too few blocks", "  tiny: killed by SIGKILL"]


def test_a_certificate_that_is_no_good_is_seen():
    shown = status_of(READY)
    doubt = "its certificate expires on 2026-01-09T00:00:00Z"
    certificate = {"path": "/tls.pem", "names": [], "expires": "", "warnings": [doubt], "problem": "server.tls.key: no such file"}
    shown["listeners"][0]["certificate"] = certificate
    lines = drawn(shown)
    assert any("https://127.0.0.1:8000" in line for line in lines)
    assert f"  inference: {doubt}" in lines
    assert "  inference: serves the certificate it had: server.tls.key: no such file" in lines


def test_draining_is_seen():
    assert drawn(status_of(READY, draining=True))[0].endswith("draining")


def test_no_models_at_all():
    assert drawn(status_of())[-1].startswith("MODEL")


def test_states_are_coloured_on_a_terminal_only():
    assert any("\x1b[32mready" in line for line in drawn(status_of(READY), colors=True))
    assert not any("\x1b" in line for line in drawn(status_of(READY, FAILED)))


def test_a_workers_last_words_do_not_drive_the_terminal():
    lines = drawn(status_of(model_status("tiny", ModelState.FAILED, last_error="\x1b]0;owned\x07 [bold]text[/bold]")))
    assert lines[-1] == r"  tiny: \x1b]0;owned\x07 [bold]text[/bold]"


def test_a_path_does_not_drive_the_terminal():
    status = status_of(READY)
    status["config"]["path"] = "/etc/\x1b[2J.toml"
    assert drawn(status)[1] == r"config     /etc/\x1b[2J.toml"


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (Progress(stage="loading", done=1, total=3), "loading 33%"),
        (Progress(stage="loading"), "loading "),
        (Progress(stage="warming"), "loading: warming"),
        (Progress(stage="converting", done=3, total=2), "loading: converting 100%"),
    ],
)
def test_progress(progress, expected):
    assert expected in drawn(status_of(model_status("tiny", ModelState.LOADING, progress=progress)))[-1]
