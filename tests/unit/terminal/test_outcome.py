"""A plan at several widths, and one that a stranger made."""

import io

import pytest
from rich.console import Console

from mlxd.terminal.outcome import render_comparison, render_reload

CHANGE = {
    "key": "models.a.sampling.temperature",
    "before": 1.0,
    "after": "x" * 60,
    "class": "live",
    "line": 1234,
}
PLAN = {"models": [{"model": "a", "action": "live", "changes": [CHANGE]}], "listeners": [], "live": [], "refused": [], "caches": []}


def outcome(result="planned", plan=PLAN):
    return {"result": result, "sha256": "5e" * 32, "plan": plan, "problems": [], "models": {}, "error": None}


def drawn(renderable, width=80, *, colors=False):
    console = Console(file=io.StringIO(), width=width, force_terminal=colors, color_system="standard" if colors else None)
    console.print(renderable)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [50, 60, 80, 120])
def test_nothing_of_a_change_is_lost(width):
    lines = drawn(render_comparison(outcome()), width)
    assert max(map(len, lines)) <= width
    assert sum(line.count("x") for line in lines) == 60
    assert any(line.endswith("live  line 1234") for line in lines)


def test_what_is_taken_away_is_red_and_what_comes_is_green():
    line = drawn(render_comparison(outcome()), 120, colors=True)[-1]
    assert "\x1b[31m1.0" in line
    assert '\x1b[32m"xxx' in line
    assert not any("\x1b" in line for line in drawn(render_comparison(outcome())))


def test_words_nobody_knows_are_shown_as_they_are():
    plan = PLAN | {"models": [{"model": "a", "action": "paint_blue", "changes": []}]}
    assert drawn(render_reload(outcome("postponed", plan))) == ["postponed:  (sha256 5e5e5e5e5e5e runs)", "", "~ a  paint blue:"]


def test_shares_of_the_pool_of_caches():
    caches = [{"model": "a", "before_bytes": 2**30, "after_bytes": 2**29}, {"model": "b", "before_bytes": None, "after_bytes": 2**29}]
    lines = drawn(render_comparison(outcome("planned", PLAN | {"models": [], "caches": caches})))
    assert lines[2:] == ['caches of the pool (cache.memory = "auto")', "    a  1.0 GiB -> 512 MiB", "    b  none -> 512 MiB"]


def test_no_text_drives_the_terminal():
    evil = "\x1b[2J[bold]"
    change = CHANGE | {"key": evil, "before": evil, "after": [evil], "class": evil}
    listener = {"role": evil, "opened": [evil], "closed": []}
    plan = {
        "models": [{"model": evil, "action": evil, "changes": [change]}],
        "listeners": [listener],
        "live": [change],
        "refused": [change],
        "caches": [{"model": evil, "before_bytes": None, "after_bytes": 1024}],
    }
    lines = drawn(render_reload(outcome(evil, plan)), 200)
    assert "\x1b" not in "".join(lines)
    assert sum(line.count("[bold]") for line in lines) == 18
