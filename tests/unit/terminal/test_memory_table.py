"""``mlxd memory``: the ledger, part by part, and what is done while memory is short."""

import io
from datetime import UTC, datetime, timedelta

from rich.console import Console

from mlxd.terminal.memory_table import render_memory

MIB = 2**20
PARTS = {
    "weights_bytes": 500 * MIB,
    "kv_bytes": 60 * MIB,
    "states_bytes": 30 * MIB,
    "snapshots_bytes": 10 * MIB,
    "media_bytes": 0,
    "draft_bytes": 0,
    "adapters_bytes": 0,
    "transients_bytes": 70 * MIB,
    "grammars_bytes": 20 * MIB,
    "disk_bytes": 0,
    "other_bytes": 110 * MIB,
}
QUIET = {"enabled": True, "level": "normal", "measures": [], "record": []}


def model(name, parts=PARTS, **fields):
    used = None if parts is None else sum(parts.values())
    return {"model": name, "reserved_bytes": 900 * MIB, "cache_share_bytes": None, "used_bytes": used, "parts": parts} | fields


def shown(*models, relief=QUIET, **fields):
    memory = {
        "limit_bytes": 2048 * MIB,
        "reserved_bytes": 900 * MIB,
        "excess_bytes": 0,
        "free_bytes": 1148 * MIB,
        "daemon_bytes": 70 * MIB,
        "machine_total_bytes": 4096 * MIB,
        "machine_available_bytes": 1024 * MIB,
        "relief": relief,
        "exchange": {"turns": [], "closed": []},
        "models": list(models),
    }
    text = io.StringIO()
    Console(width=110, file=text).print(render_memory(memory | fields))
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_each_model_s_parts_are_what_it_holds():
    lines = shown(model("tiny"), model("gone", None, reserved_bytes=0))
    assert lines == [
        "limit     2.0 GiB: 900 MiB reserved, 1.1 GiB free",
        "machine   4.0 GiB: 1.0 GiB available",
        "daemon    70 MiB",
        "pressure  normal",
        "",
        "MODEL  RESERVED     HELD  WEIGHTS    CACHE  COMPUTING    OTHER",
        "tiny    900 MiB  800 MiB  500 MiB  100 MiB     70 MiB  130 MiB",
        "gone        0 B        -        -        -          -        -",
    ]


def test_columns_that_somebody_has_are_there():
    (title,) = [line for line in shown(model("a", PARTS | {"draft_bytes": MIB}, cache_share_bytes=64 * MIB)) if line.startswith("MODEL")]
    assert title.split() == ["MODEL", "RESERVED", "AUTO", "CACHE", "HELD", "WEIGHTS", "CACHE", "DRAFT", "COMPUTING", "OTHER"]


def test_what_is_held_beyond_reservations_is_told():
    assert shown(excess_bytes=64 * MIB)[0] == "limit     2.0 GiB: 900 MiB reserved, 64 MiB held beyond that, 1.1 GiB free"


def test_what_is_done_and_was_done_is_told_newest_first():
    when = (datetime.now(UTC) - timedelta(seconds=3)).isoformat()
    entry = {"time": when, "measure": "evict_blocks", "lifted": False, "level": "warning", "models": ["tiny", "other"], "freed_bytes": MIB}
    lifted = entry | {"measure": "hold_prompts", "lifted": True, "level": "normal", "models": [], "freed_bytes": None}
    lines = shown(
        model("tiny"), relief=QUIET | {"level": "warning", "measures": ["shrink_buffers", "evict_blocks"], "record": [lifted, entry]}
    )
    assert lines[3] == "pressure  warning; shrink buffers, evict blocks"
    assert [line.split() for line in lines[-2:]] == [
        ["3s", "ago", "hold", "prompts", "lifted", "normal"],
        ["3s", "ago", "evict", "blocks", "warning", "tiny,", "other", "1.0", "MiB", "freed"],
    ]


def test_a_system_that_does_not_tell_and_a_switch_that_is_off_are_told():
    assert shown(relief=QUIET | {"level": None})[3] == "pressure  the system does not tell"
    assert shown(relief=QUIET | {"enabled": False})[3] == 'pressure  normal; nothing is done about it: memory.pressure = "off"'


def test_who_waits_and_who_gives_way_is_told():
    turn = {"model": "big", "needs_bytes": 900 * MIB, "requests": 3, "waiting_seconds": 12.0, "expected_seconds": 75.0}
    lines = shown(model("tiny"), exchange={"turns": [turn, turn | {"requests": 1, "expected_seconds": None}], "closed": ["tiny"]})
    assert lines[4:7] == [
        "waiting   big: 3 requests for 12s, needs 900 MiB, its turn comes in about 1m 15s",
        "waiting   big: 1 request for 12s, needs 900 MiB",
        "closed    tiny: finishing what runs, then making room",
    ]
