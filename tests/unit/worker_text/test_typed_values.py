"""Values without quotes become JSON of the kinds that are allowed, however they are cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.worker.text.parsers.schema_kinds import ANY
from mlxd.worker.text.parsers.typed_values import FramedValue, TypedValue

PIECES = [
    "null",
    "none",
    "tru",
    "true",
    " ",
    "\n",
    "{",
    "}",
    "[1,2",
    "]",
    '"a"',
    ":",
    "12",
    "1e5",
    "-",
    "x",
    " " * 260,
    "y" * 260,
    "'",
    "7" * 260,
    ",",
    ".",
]


def read(value, pieces):
    """The value's JSON, and whether it is odd, or broken."""
    told = "".join(value.push(piece) for piece in pieces) + value.end()
    return told, value.is_odd, value.is_broken


@given(
    written=st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    kinds=st.frozensets(st.sampled_from(sorted(ANY)), min_size=1),
    size=st.integers(1, 200),
    kind=st.sampled_from([TypedValue, FramedValue]),
)
def test_a_value_is_the_same_however_it_is_cut(written, kinds, size, kind):
    whole = read(kind(kinds), [written])
    assert read(kind(kinds), [written[at : at + size] for at in range(0, len(written), size)]) == whole
    told, is_odd, is_broken = whole
    if not is_broken:
        assert is_odd is (isinstance(json.loads(told), str) and "string" not in kinds)


@pytest.mark.parametrize(
    ("written", "kinds", "expected"),
    [
        ("5", {"integer"}, 5),
        (" 5\n", {"integer"}, 5),
        ("5.0", {"integer"}, 5),
        ("1e3", {"integer"}, 1000),
        ("5.5", {"integer"}, "5.5"),
        ("9007199254740993.0", {"integer"}, "9007199254740993.0"),
        ("5.5", {"number", "integer"}, 5.5),
        ("TRUE", {"boolean"}, True),
        ("1", {"boolean"}, "1"),
        ("null", {"string"}, "null"),
        ("null", {"string", "null"}, None),
        ("nul", {"string", "null"}, "nul"),
        ("", {"string"}, ""),
        ("", {"integer"}, ""),
        ("(1, 2)", {"array"}, [1, 2]),
        ("{1, 2}", {"array"}, [1, 2]),
        ("{'a': 1}", {"object", "string"}, "{'a': 1}"),
        ('{"a": 1}', {"object", "string"}, {"a": 1}),
        ('{"a": 1} x', {"object", "string"}, '{"a": 1} x'),
        ("12 monkeys", {"integer", "string"}, "12 monkeys"),
    ],
)
def test_what_a_value_is(written, kinds, expected):
    told, is_odd, is_broken = read(TypedValue(frozenset(kinds)), [written])
    assert json.loads(told) == expected
    assert not is_broken
    assert is_odd is (isinstance(expected, str) and "string" not in kinds)


def test_of_a_framed_value_one_new_line_on_either_side_is_not_its_own():
    told = [read(FramedValue(frozenset({"string"})), [written])[0] for written in ("\na\n", "\n\na\n\n", "a", "\n", "\n\n", "")]
    assert [*map(json.loads, told)] == ["a", "\na\n", "a", "", "", ""]
