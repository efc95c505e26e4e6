import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.wire.parts import content_of, text_parts
from mlxd.worker.text.output import Piece, TextOutput
from tests.support.tiny_model import EOS, make_tokenizer

TOKENIZER = make_tokenizer()


def decode(ids):
    return TOKENIZER.decode(list(ids), skip_special_tokens=True)


def piece(text, tokens):
    return Piece(text_parts(text), tokens)


def shown(pieces):
    return "".join(content_of(one.parts) for one in pieces)


def output(*, stops=(), interval=1):
    return TextOutput(decode, [], stops, interval)


def run(out, text):
    """Every piece delivered, the last one by ``finish``."""
    delivered = []
    for token in text.encode():
        if (now := out.push(token)) is not None:
            delivered.append(now)
        if out.matched_stop is not None:
            break
    return [*delivered, out.finish()]


def test_no_stop_string_begins_among_the_tokens_that_are_asked_for_at_least():
    out = output(stops=["b", "cd"])
    out.min_tokens = 3
    pieces = run(out, "abcdbx")
    assert shown(pieces) == "abcd"
    assert out.matched_stop == "b"


def test_interval_one_delivers_every_token():
    assert run(output(), "abc") == [piece("a", 1), piece("b", 1), piece("c", 1), piece("", 0)]


def test_the_first_token_is_delivered_at_once_then_every_nth():
    assert run(output(interval=3), "abcdef") == [piece("a", 1), piece("bcd", 3), piece("ef", 2)]


def test_an_undecided_character_is_delivered_as_empty_text():
    assert run(output(), "é") == [piece("", 1), piece("é", 1), piece("", 0)]


@pytest.mark.parametrize("interval", [1, 2, 5])
def test_a_stop_string_across_tokens_is_not_shown_and_its_tokens_count(interval):
    out = output(stops=["<end>"], interval=interval)
    pieces = run(out, "hi<end>never")
    assert shown(pieces) == "hi"
    assert sum(one.tokens for one in pieces) == out.tokens == len("hi<end>")
    assert out.matched_stop == "<end>"


def test_the_end_token_counts_and_has_no_text():
    out = output()
    out.push(ord("a"))
    out.push_end_token(EOS)
    assert out.finish() == piece("", 1)
    assert out.tokens == 2


def test_a_stop_string_completed_by_the_final_flush_still_stops():
    out = output(stops=["\ufffd"])
    assert out.push(0xE2) == piece("", 1)
    assert out.finish() == piece("", 0)
    assert out.matched_stop == "\ufffd"


@given(
    text=st.text(alphabet="ab☃<", max_size=20),
    stops=st.lists(st.text(alphabet="ab☃<", min_size=1, max_size=3), max_size=2),
    interval=st.integers(1, 6),
)
def test_text_does_not_depend_on_the_interval_and_no_token_is_lost(text, stops, interval):
    often, seldom = output(stops=stops), output(stops=stops, interval=interval)
    expected, pieces = run(often, text), run(seldom, text)
    assert shown(pieces) == shown(expected)
    assert sum(one.tokens for one in pieces) == seldom.tokens == often.tokens
