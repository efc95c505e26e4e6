"""The picture of the dashboard shows panels there are."""

import math

import pytest

from benchmarks.dashboard import units
from benchmarks.dashboard.board import Board
from benchmarks.dashboard.layout import COLUMNS, ROWS
from grafana.generate import DIRECTORY

BOARD = Board.read(DIRECTORY / "mlxd-overview.json")


@pytest.mark.parametrize("titles", [titles for _, titles in ROWS])
def test_every_line_is_full_of_panels_of_the_overview(titles):
    assert set(titles) <= set(BOARD.panels)
    assert sum(titles.values()) == COLUMNS


def test_the_colours_of_a_tile_are_the_dashboard_s():
    failing = BOARD.panels["Failing requests"]
    assert [failing.shown("", value) for value in (0, 0.02, 0.5)] == [(None, "#73BF69"), (None, "#FF9830"), (None, "#F2495C")]
    assert failing.shown("", math.nan)[0] == "idle"
    assert BOARD.panels["Daemon"].shown("", 0) == ("DOWN", "#F2495C")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0042, "s", "4.2 ms"),
        (90, "s", "1.5 min"),
        (0.25, "percentunit", "25 %"),
        (3 * 1024**3, "bytes", "3 GiB"),
        (0, "bytes", "0 B"),
        (12345, "short", "12.3 K"),
        (17.25, "suffix: tok/s", "17.2 tok/s"),
        (math.nan, "s", "-"),
    ],
)
def test_units(value, unit, text):
    assert units.text(value, unit) == text
