"""How values are written for people."""

import pytest

from mlxd.terminal import values


@pytest.mark.parametrize(
    ("since", "text"),
    [
        ("2026-01-02T06:16:05.000Z", "0s"),
        ("2026-01-02T06:15:10.000Z", "55s"),
        ("2026-01-02T06:14:00.000Z", "2m 5s"),
        ("2025-12-30T02:00:00.000Z", "3d 4h"),
        ("2026-01-02T07:00:00.000Z", "0s"),
    ],
)
def test_spans(since, text):
    assert values.ago(since, values.time_of("2026-01-02T06:16:05.000Z")) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries")])
def test_counts(count, text):
    assert values.counted(count, "entry", "entries") == text


def test_a_plural_with_s():
    assert (values.counted(1, "request"), values.counted(3, "request")) == ("1 request", "3 requests")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größer 模型 ~", "größer 模型 ~"),
        ("two\nlines", "two\nlines"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b31m", r"\x9b31m"),
        ("a\rb\tc", r"a\rb\tc"),
        ("\u202eevil", r"\u202eevil"),
        ("\ud800", r"\ud800"),
    ],
)
def test_text_that_is_not_ours(text, shown):
    assert values.printable(text) == shown
