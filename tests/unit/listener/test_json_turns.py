"""JSON that is decoded in turns: the same values as in one go, and the same refusals, with turns so short that every value is large."""

import json
from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.errors import InvalidRequestError
from mlxd.listener.json_shape import MAX_KEY, JsonShape
from mlxd.listener.json_text import parse_json_object
from mlxd.listener.json_turns import TurnDecoder
from tests.support.cases import over

TURN = 64

PIECES = ["a", "\n", "\\", '"', "\\u", "é", "日", "\U0001f600", "\u2028", "\x00", "}", "{", "]", "[", ",", ":", "u", "d83d"]
pieces = st.sampled_from(PIECES)
texts = st.lists(pieces, max_size=30).map("".join) | st.tuples(pieces, st.integers(1, 300)).map(lambda run: run[0] * run[1])
values = st.recursive(
    texts | st.integers(-(2**53), 2**53) | st.booleans() | st.none() | st.just(1.5),
    lambda inner: st.lists(inner, max_size=15) | st.dictionaries(st.text(max_size=5), inner, max_size=10),
    max_leaves=30,
)
objects = st.dictionaries(st.text(max_size=5), values, min_size=1, max_size=10)
writers = st.sampled_from(
    [
        lambda value: json.dumps(value).encode(),
        lambda value: json.dumps(value, ensure_ascii=False).encode(),
        lambda value: json.dumps(value, indent=3).encode(),
        lambda value: b" \n" + json.dumps(value, separators=(" ,\t", " : ")).encode() + b"\r\n",
    ]
)


@pytest.fixture(autouse=True, scope="module")
def short_turns():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlxd.listener.json_shape.TURN", TURN)
        patch.setattr("mlxd.listener.json_turns.TURN", TURN)
        yield


def outcome(text, decode):
    try:
        return repr(decode(text))
    except (InvalidRequestError, msgspec.MsgspecError, UnicodeError):
        return "refused"


@given(objects, writers)
def test_the_values_are_the_same_and_nothing_is_left_to_be_decoded_in_one_go(value, written):
    text = written(value)
    assert repr(parse_json_object(bytearray(text))) == repr(msgspec.json.decode(text))
    shape = JsonShape(text)
    shape.check()
    root = shape.large.get(text.index(b"{"))
    if root is not None:
        assert repr(TurnDecoder(text, shape.large).value(root)) == repr(msgspec.json.decode(text))
    else:
        assert len(text.strip()) <= TURN


@given(objects, writers, st.data())
def test_what_is_no_json_is_refused(value, written, data):
    text = bytearray(written(value))
    at = data.draw(st.integers(0, len(text) - 1))
    match data.draw(st.sampled_from(["byte", "without", "end", "twice"])):
        case "byte":
            text[at] = data.draw(st.sampled_from(b'{}[],:"\\ 1\xc3\xb0u'))
        case "without":
            del text[at]
        case "end":
            del text[at:]
        case "twice":
            text[at:at] = text[at : at + 1]
    found = outcome(text, parse_json_object)
    # Keys twice, and what is no object, are refused by us alone.
    assert found in {outcome(text, msgspec.json.decode), "refused"}
    if found == "refused" != outcome(text, msgspec.json.decode):
        with pytest.raises(InvalidRequestError, match=r"twice|must be a JSON object|too"):
            parse_json_object(text)


@over(list(product(["\n", "\\", "\U0001f600", "é", "日", "\x01", "x"], range(14), [True, False])))
def test_no_character_is_torn_apart(case):
    character, before, ascii_only = case
    value = {"text": "x" * before + character * 500}
    assert parse_json_object(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


def test_a_key_is_no_place_for_megabytes():
    with pytest.raises(InvalidRequestError, match="a key of more than 1048576 bytes"):
        parse_json_object(b'{"' + b"k" * MAX_KEY + b'": 1}')
