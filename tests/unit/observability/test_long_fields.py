"""A line of the log is never as long as what somebody sent."""

import json

import pytest

from mlxd.config.schema import LogTable
from mlxd.observability.log_format import cut_long
from mlxd.observability.logging import configure_logging

LONG = "x" * 3_000_000
SHAPES = {
    "text": LONG,
    "list": ["x" * 1000] * 10_000,
    "numbers": list(range(100_000)),
    "nested": [[["x" * 1000] * 100] * 100] * 100,
    "object": {f"k{n}": "x" * 100 for n in range(100_000)},
    "key": {LONG: 1},
    "deep": {"a": [{"b": LONG}]},
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_field_of_any_shape_is_cut(name):
    cut = cut_long(None, "info", {"event": "told", "field": SHAPES[name]})
    assert len(json.dumps(cut)) < 30_000
    assert type(cut["field"]) is type(SHAPES[name])


@pytest.mark.parametrize("value", ["short", 5, None, 1.5, True, ["a", {"b": [1, 2]}], {"a": {"b": "c"}}, "x" * 4000])
def test_what_is_short_stays(value):
    assert cut_long(None, "info", {"field": value}) == {"field": value}


def test_prompts_may_be_longer():
    cut = cut_long(None, "info", {"prompt": {"messages": [{"role": "user", "content": LONG}]}})
    assert 100_000 < len(json.dumps(cut)) < 250_000


@pytest.mark.parametrize("kind", ["json", "console"])
def test_in_either_format(kind, tmp_path):
    import structlog  # noqa: PLC0415 - configured here

    file = tmp_path / "log"
    configure_logging(LogTable(format=kind, file=str(file)))
    try:
        structlog.get_logger().info("told", field=LONG)
        structlog.get_logger().error("failed", exc_info=ValueError(LONG))
    finally:
        configure_logging(LogTable())
    text = file.read_text()
    assert "told" in text
    assert "failed" in text
    assert len(text) < 100_000
