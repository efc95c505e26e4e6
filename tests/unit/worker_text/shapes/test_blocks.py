"""Reasoning between markers, of every pair of markers, and what becomes of the white space around them."""

import pytest

from mlxd.types import ReasoningShape
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.text.parsers.registry import parser_for
from mlxd.worker.text.shape_rules import THINKING
from mlxd.worker.text.shapes import Shapes
from tests.unit.worker_text.shapes.case import cut, read

PAIRS = [(shape, pair) for shape in ReasoningShape for pair in THINKING[shape] if shape is not ReasoningShape.GEMMA]
OPEN = Opening.REASONING

# Written, with O and C for the markers; the reasoning and the content that it is; and what the prompt opened.
ANSWERS = [
    ("OhmCyes", "hm", "yes", Opening.NONE),
    ("O\nhm\n\nha\nC\n\nyes\n\nno\n", "hm\n\nha", "yes\n\nno\n", Opening.NONE),
    (" \nOhmC yes", "hm", " yes", Opening.NONE),
    ("O\n\nC\n\nyes", "", "yes", Opening.NONE),
    ("OCyes", "", "yes", Opening.NONE),
    ("hmCyes", "hm", "yes", OPEN),
    ("\nhm\nC\n\nyes", "hm", "yes", OPEN),
    ("OhmCyes", "hm", "yes", OPEN),
    ("Cyes", "", "yes", OPEN),
    ("Cyes", "", "yes", Opening.NONE),
    ("Ohm", "hm", "", Opening.NONE),
    ("hm\n", "hm\n", "", OPEN),
    ("O", "", "", Opening.NONE),
    ("", "", "", OPEN),
    ("yes", "", "yes", Opening.CONTENT),
    ("yes O no C", "", "yes O no C", Opening.CONTENT),
    ("  yes", "", "  yes", Opening.NONE),
    ("yes C no", "", "yes C no", Opening.NONE),
    ("yes OhmC no", "", "yes OhmC no", Opening.NONE),
    ("OhmCThe tags are O and C.", "hm", "The tags are O and C.", Opening.NONE),
    ("OhmC\nOhaC", "hm", "OhaC", Opening.NONE),
    ("OO hm OC", "O hm O", "", Opening.NONE),
    ("Oé 🌧\u2028C東京", "é 🌧\u2028", "東京", Opening.NONE),
]


def spelled(text, pair):
    return text.replace("O", "\0").replace("C", pair.closes).replace("\0", pair.opens)


@pytest.mark.parametrize(("shape", "pair"), PAIRS)
def test_reasoning_between_markers(shape, pair):
    shapes = Shapes(reasoning=shape, thinking=pair)
    for written, reasoning, content, opening in ANSWERS:
        for size in (1, 2, 3, 5, 7, 1000):
            found = read(parser_for(shapes, None, opening), cut(spelled(written, pair), size))
            assert (found.reasoning, found.content) == (spelled(reasoning, pair), spelled(content, pair)), written


@pytest.mark.parametrize(("shape", "pair"), PAIRS)
def test_half_a_marker_is_not_shown_and_not_lost(shape, pair):
    for marker, before, opening in ((pair.opens, "", Opening.NONE), (pair.closes, "hm", OPEN)):
        for size in range(1, len(marker)):
            parser = parser_for(Shapes(reasoning=shape, thinking=pair), None, opening)
            shown = parser.push(before + marker[:size])
            assert "".join(part.text for part in shown) == before
            assert "".join(part.text for part in parser.finish()) == marker[:size]


@pytest.mark.parametrize(("shape", "pair"), PAIRS)
def test_control_tokens_open_and_close_reasoning_anywhere(shape, pair):
    controls = frozenset({pair.opens, pair.closes})
    written = f"one {pair.opens}\nhm\n{pair.closes}\ntwo {pair.opens}ha{pair.closes}three"
    found = read(parser_for(Shapes(reasoning=shape, thinking=pair), None, Opening.NONE), cut(written, 2, controls), controls)
    assert (found.reasoning, found.content) == ("hmha", "one two three")


def test_many_new_lines_are_shown_but_the_last():
    found = read(parser_for(Shapes(reasoning=ReasoningShape.THINK), None, OPEN), ["a" + "\n" * 50, "\n</think>"])
    assert found.reasoning == "a" + "\n" * 35
