"""Literals of Python become JSON."""

import ast
import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlxd.worker.text.parsers.literals import literal_text, number

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


def characters_outside_surrogates(value):
    return json.loads(json.dumps(value).encode().decode())


@given(VALUES)
def test_what_python_writes_is_what_json_says(value):
    assert json.loads(literal_text(repr(value))) == characters_outside_surrogates(value)


@given(VALUES)
def test_what_json_writes_is_itself(value):
    assert json.loads(literal_text(json.dumps(value, ensure_ascii=False))) == value


@given(st.text(alphabet="abnxu0123{}'\"\\ \n,]):", max_size=12))
def test_where_python_reads_a_literal_its_value_is_the_same(written):
    assume(not written.rstrip().endswith(","))  # which would be the list's
    try:
        (value,) = ast.literal_eval(f"[{written}]")
        expected = json.loads(json.dumps(value))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        literal_text(written)  # raises nothing
        return
    assert literal_text(written) is not None
    assert json.loads(literal_text(written)) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("(1, 'a', )", [1, "a"]),
        ("()", []),
        ("{1, 2}", [1, 2]),
        ("{(1, 2), 'a'}", [[1, 2], "a"]),
        ("{}", {}),
        ("{1: 2, True: 3, 1.5: 4}", {"1": 2, "true": 3, "1.5": 4}),
        (r"r'\d' '\x41'", "\\dA"),
        ("'it's'", "it's"),
        ("['it's', 'b']", ["it's", "b"]),
        (r'"\u00e9\U0001F600\101\8"', "é😀A\\8"),
    ],
)
def test_what_json_has_not(written, expected):
    assert json.loads(literal_text(written)) == expected


@pytest.mark.parametrize(
    "written",
    [
        "",
        "a",
        "1 2",
        "[1",
        "[1 2]",
        "'a",
        "{1: }",
        "{1}: 2",
        "f'a'",
        "b'a'",
        "1 + 1",
        "{[1]: 2}",
        "{'a': 1, 'b'}",
        "--1",
        "nan",
        "[" * 100,
        "[,]",
    ],
)
def test_what_is_no_literal(written):
    assert literal_text(written) is None


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("1", "1"),
        ("-0", "-0"),
        ("007", "7"),
        ("+5", "5"),
        ("1_000", "1000"),
        ("0x1F", "31"),
        ("-0b11", "-3"),
        ("1.", "1.0"),
        (".5", "0.5"),
        ("1e5", "1e5"),
        ("00.50E+3", "0.50E+3"),
        ("9" * 400, "9" * 400),
    ],
)
def test_numbers(word, expected):
    assert number(word) == expected
    json.loads(expected)


@pytest.mark.parametrize("word", ["", ".", "-", "e5", "1e", "1__0", "_1", "1_", "0x", "1.2.3", "five", "\u0661", "inf"])
def test_what_is_no_number(word):
    assert number(word) is None
