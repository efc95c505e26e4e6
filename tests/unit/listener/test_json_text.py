"""JSON texts: bounded before they are decoded, and nothing in them that two readers could understand differently."""

import json
import threading

import pytest

from mlxd.errors import InvalidRequestError
from mlxd.listener.body import aside
from mlxd.listener.json_shape import MAX_DEPTH, MAX_NUMBERS, MAX_VALUES
from mlxd.listener.json_text import parse_json_object


def refused(text):
    with pytest.raises(InvalidRequestError) as error:
        parse_json_object(text)
    return error.value.message


@pytest.mark.parametrize(
    "text",
    [
        rb'{"a": 1, "a": 2}',
        rb'{"a": 1, "\u0061": 2}',
        rb'{"\"": 1, "b": {}, "\u0022": 2}',
        rb'{"x": [{"a": 1}, {"a": 1, "b": [1, {"c": "}"}], "a": 2}]}',
        '{"é": 1, "\\u00e9": 2}'.encode(),
        b'{"a":1,"b":"' + b"\\\\" * 10 + b'","a":2}',
        b'{"a" \t\r\n: 1, "a":2}',
        b'{"long": "' + b'\\"' * 100_000 + b'", "a": [], "a": []}',
    ],
)
def test_a_key_twice_in_one_object(text):
    assert "appears twice in one object" in refused(text)


@pytest.mark.parametrize(
    "text",
    [
        rb'{"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 1}]}',
        rb'{"a": "\"a\": 1, \"a\": 2", "b": "}{", "c": "\\", "d": "]["}',
        rb'{"a": ["b", "b", "a"], "A": 1, "": 2, " ": 3}',
        rb'{"a": "x", "b": "a", "c": ["a", "a"]}',
    ],
)
def test_the_same_text_elsewhere_is_no_key_twice(text):
    assert parse_json_object(text) == json.loads(text)


def long_array(item, count):
    return b'{"a": [' + b",".join([item] * count) + b"]}"


VALUES, NUMBERS_OF_ALL = MAX_VALUES // 20, MAX_NUMBERS // 20  # bounds of the same kind, for texts that are written in no time
TOO_MUCH = {
    "strings": long_array(b'"x"', VALUES),
    "objects": long_array(b"{}", VALUES),
    "arrays": long_array(b"[]", VALUES),
    "messages": long_array(b'{"role":"user","content":"hi"}', VALUES // 4),
    "keys": b"{" + b",".join(b'"%d":1' % number for number in range(VALUES + 1)) + b"}",
    "numbers": long_array(b"1", NUMBERS_OF_ALL * 2),
    "nulls": long_array(b"null", NUMBERS_OF_ALL * 2),
    "spaced numbers": long_array(b" " * 20 + b"1", NUMBERS_OF_ALL * 2),
    "depth of arrays": b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    "depth of objects": b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
    "depth without end": b"[" * 1_000_000,
}


def assert_too_much(text):
    message = refused(text)
    assert "too many parts" in message or "too many items" in message or "nested too deeply" in message


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_is_too_much_is_not_even_decoded(name, monkeypatch):
    monkeypatch.setattr("msgspec.json.decode", None)
    monkeypatch.setattr("mlxd.listener.json_shape.MAX_VALUES", VALUES)
    monkeypatch.setattr("mlxd.listener.json_shape.MAX_NUMBERS", NUMBERS_OF_ALL)
    assert_too_much(TOO_MUCH[name])


def test_where_too_much_begins(monkeypatch):
    parse_json_object(long_array(b'"x"', MAX_VALUES - 3))  # the object, its key, and the array
    parse_json_object(long_array(b"1", MAX_NUMBERS))
    monkeypatch.setattr("msgspec.json.decode", None)
    assert_too_much(long_array(b'"x"', MAX_VALUES - 2))
    assert_too_much(long_array(b"1", MAX_NUMBERS * 2))


def test_what_real_requests_have_is_far_from_too_much():
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {str(n): {} for n in range(50)}}}}
    message = {"role": "user", "content": [{"type": "text", "text": "word " * 100}]}
    parse_json_object(json.dumps({"messages": [message] * 5000, "tools": [tool] * 100}).encode())
    parse_json_object(json.dumps({"prompt": list(range(1_000_000))}).encode())
    parse_json_object(json.dumps({"prompt": 'say "x"\n' * 200_000}).encode())
    deep = b'{"a":' * (MAX_DEPTH - 1) + b"{}" + b"}" * (MAX_DEPTH - 1)
    parse_json_object(deep)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"a": 01}', "line 1, column"),
        (b'{"a": 1,}', "trailing comma in object (line 1, column 9)"),
        (b'{"a": "x', "it ends too early (line 1, column 9)"),
        (b'{"a": "x\ny"}', "line 1, column 9"),
        (b'\n\n{"a": tru}', "line 3, column"),
        (b"{} {}", "trailing characters"),
        (b"{'a': 1}", "object keys must be strings"),
        (b'{"a": Infinity}', "Infinity is no JSON number"),
        (b'{"a": -NaN}', "is no JSON number"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b'{"a": 1e999}', "a number in it is too large"),
        (rb'{"a": "\udc00"}', "lone surrogate"),
        (rb'{"a": "\ud800\u0041"}', "lone surrogate"),
        (rb'{"\ud800": 1}', "lone surrogate"),
        (b'{"a": "\xc3("}', "not UTF-8: invalid byte at offset 7"),
        (b"]" * 1000, "not valid JSON"),
        (b'"' * 999, "not valid JSON"),
        (b'{"a":' + b"\\" * 1000, "not valid JSON"),
    ],
)
def test_what_is_wrong_and_where(text, said):
    assert said in refused(text)


NUMBERS = list(range(50_000))  # some turns


@pytest.mark.parametrize(
    "document",
    [
        {"prompt": NUMBERS},
        {"prompt": [NUMBERS], "a": "x"},
        {"prompt": [NUMBERS, [], [1], NUMBERS]},
        {"prompt": [*NUMBERS, "x"]},
        {"prompt": [1.5, None, True, -1e3] * 15_000, "b": {"c": [1]}},
        {"a": {"prompt": NUMBERS}},
    ],
    ids=["flat", "nested", "several", "mixed", "kinds", "below"],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_long_arrays_are_decoded_in_turns_and_come_out_the_same(document, indent):
    assert parse_json_object(json.dumps(document, indent=indent).encode()) == document


@pytest.mark.parametrize("end", [b",]", b",,1]", b" 1]", b"1 2]", b",x]", b"]]", b"", b",01]"])
def test_a_long_array_that_is_none(end):
    text = b'{"a": [' + b",".join([b"12345"] * 50_000) + end + b"}"
    assert "not valid JSON" in refused(text)


async def test_a_large_body_is_worked_off_beside_the_loop_and_a_small_one_at_once():
    here = threading.get_ident()
    assert await aside(1000, threading.get_ident) == here
    there = {await aside(10_000_000, threading.get_ident) for _ in range(3)}
    assert len(there) == 1
    assert here not in there
