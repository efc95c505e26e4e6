"""Curves and bars."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.terminal.top.charts import Part, bar, curve, shares

AMOUNTS = st.lists(st.floats(0, 1e12), min_size=1, max_size=5)


def plain(lines):
    return [line.plain for line in lines]


def test_zero_is_a_line_and_not_known_is_empty():
    assert plain(curve([None, 0, 1, 50, 100])) == [" ▁▂▅█"]
    assert plain(curve([None, None])) == ["  "]
    assert plain(curve([0, 0.0])) == ["▁▁"]


def test_more_rows_are_more_levels():
    assert plain(curve([0, 50, 100], rows=2)) == [" ▁█", "▁██"]


@given(st.lists(st.none() | st.floats(0, 1e9), min_size=1, max_size=50), st.integers(1, 6))
def test_every_row_has_a_character_for_each_value(values, rows):
    drawn = plain(curve(values, rows=rows))
    assert (len(drawn), {len(row) for row in drawn}) == (rows, {len(values)})


@pytest.mark.parametrize(
    ("amounts", "width", "expected"),
    [
        ((1, 1, 2), 8, [2, 2, 4]),
        ((1, 0, 10_000), 10, [1, 0, 9]),
        ((0, 0), 5, [0, 0]),
        ((1, 1, 1), 2, [1, 1, 0]),
        ((3, 3, 3), 10, [4, 3, 3]),
    ],
)
def test_shares(amounts, width, expected):
    assert shares(amounts, width) == expected


@given(AMOUNTS, st.integers(0, 100))
def test_shares_add_up_and_forget_nobody(amounts, width):
    given_out = shares(amounts, width)
    assert sum(given_out) == (width if any(amounts) else 0)
    assert all(cells == 0 for cells, amount in zip(given_out, amounts, strict=True) if not amount)
    if sum(amount > 0 for amount in amounts) <= width:
        assert all(cells > 0 for cells, amount in zip(given_out, amounts, strict=True) if amount)


def test_a_bar():
    assert bar([Part(1, "█"), Part(1, "▒"), Part(2, "░")], 8).plain == "██▒▒░░░░"
