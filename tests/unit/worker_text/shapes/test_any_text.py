"""Whatever a model writes, parsers raise nothing, say the same however it is cut, and lose no text."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.types import ReasoningShape, ToolShape
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.text.parsers.harmony import HarmonyParser
from mlxd.worker.text.parsers.registry import TOOLS, parser_for
from mlxd.worker.text.shapes import Shapes
from tests.support.examples import examples
from tests.unit.worker_text.shapes.case import RULES, read
from tests.unit.worker_text.shapes.harmony import CONTROLS
from tests.unit.worker_text.shapes.test_calls import CORPORA

REASONING = {ToolShape.MISTRAL: ReasoningShape.MISTRAL, ToolShape.COHERE: ReasoningShape.COHERE, ToolShape.GEMMA: ReasoningShape.GEMMA}
THINKING = ["<think>", "</think>", "[THINK]", "[/THINK]", "<|START_THINKING|>", "<|END_THINKING|>", "<|channel>thought\n", "<channel|>"]
WORDS = [
    *(
        "now",
        "weather",
        '{"name": "now", "arguments": {',
        '"city"',
        ": ",
        '"a',
        '"',
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        ",",
        "=",
        "\\",
        "null",
        "1e",
    ),
    *("\n", "\n\n", " ", "```", "`", "é", "🌧", "Paris. ", "</", "<", "<|", "[", "functions.now:0", "city='a'"),
]


def fragments(shape):
    """Words of a shape: its markers, beginnings of them, pieces of its answers, and whole answers."""
    markers = sorted({*TOOLS[shape].markers, *TOOLS[shape].openings, *TOOLS[shape].closings})
    pieces = sorted({piece for case in CORPORA[shape] for piece in re.split(r"(?<=[>\]}\n])", case.written) if 0 < len(piece) < 60})
    whole = [case.written for case in CORPORA[shape] if len(case.written) < 120]
    return [*markers, *THINKING, *(marker[: len(marker) // 2] for marker in markers), *WORDS, *pieces, *whole]


def split(data, text):
    """``text`` in pieces of any sizes."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@pytest.mark.parametrize("shape", CORPORA)
@settings(max_examples=examples(24), deadline=None)
@given(data=st.data())
def test_answers_of_any_form(shape, data):
    shapes = Shapes(tools=shape, reasoning=REASONING.get(shape, ReasoningShape.THINK))
    opening = data.draw(st.sampled_from(Opening))
    written = "".join(data.draw(st.lists(st.sampled_from(fragments(shape)), max_size=10)))
    whole = read(parser_for(shapes, RULES, opening), [written])
    assert read(parser_for(shapes, RULES, opening), split(data, written)) == whole
    assert read(parser_for(shapes, RULES, opening), list(written)) == whole
    assert in_order(whole.content, written)
    assert in_order(whole.reasoning, written)
    assert all(name in {tool.name for tool in RULES.tools} for name, _ in whole.calls)
    if not whole.warnings:
        assert all(isinstance(json.loads(arguments), dict) for _, arguments in whole.calls)


@pytest.mark.parametrize("shape", CORPORA)
@settings(max_examples=examples(16), deadline=None)
@given(data=st.data())
def test_text_without_calls_is_whole(shape, data):
    written = "".join(data.draw(st.lists(st.sampled_from(fragments(shape)), max_size=8)))
    found = read(TOOLS[shape](RULES), split(data, written))
    if not found.calls and not _hides(shape, written):
        assert found.content == written


@settings(max_examples=examples(60), deadline=None)
@given(words=st.lists(st.sampled_from([*sorted(CONTROLS), "assistant", "final", "analysis", " to=functions.now", *WORDS]), max_size=12))
def test_gpt_oss_s_answers_of_any_form(words):
    whole = read(HarmonyParser(RULES), words, CONTROLS)
    pieces = [piece for word in words for piece in ([word] if word in CONTROLS else word)]
    assert read(HarmonyParser(RULES), pieces, CONTROLS) == whole


def in_order(part, whole):
    """Whether the characters of ``part`` are some of ``whole``'s, in order."""
    rest = iter(whole)
    return all(character in rest for character in part)


def _hides(shape, written):
    """Markers around content are hidden by nature."""
    return shape is ToolShape.COHERE and re.search(r"<\|(START|END)_(RESPONSE|TEXT)", written)


DEEP = ["[" * 3000, '{"a":' * 3000, "(" * 3000, "{'a': " * 3000, "[{" * 1500, "{a:[" * 1500, "[" * 3000 + "]" * 3000]


@pytest.mark.parametrize("shape", CORPORA)
def test_deep_nesting_and_many_examples_are_read(shape):
    simple = [case.written for case in CORPORA[shape] if case.calls == [("weather", {"city": "Paris"})] or case.name.endswith("a string")]
    deep = [written.replace("Paris", value, 1).replace(f'"{value}', value, 1) for written in simple[:2] for value in DEEP]
    openings = [TOOLS[shape].openings[0], "[now()]"]
    many = [f"```\n{(opening + chr(10)) * 1000}" for opening in openings] + [f"`{opening}` " * 1000 for opening in openings]
    for written in [*deep, *many]:
        read(TOOLS[shape](RULES), [written])
    for written in many:
        assert read(TOOLS[shape](RULES), [written]).content == written or shape is ToolShape.COHERE


def test_a_call_on_the_line_behind_an_example_is_one():
    written = "See `<|tool_call_start|>`:\n[now()]"
    found = [read(TOOLS[ToolShape.PYTHONIC](RULES), pieces) for pieces in ([written], list(written))]
    assert found[0] == found[1]
    assert found[0].calls == [("now", "{}")]
