"""How answers end, what of their tokens is reasoning, and what stop strings and control tokens do beside reasoning and calls."""

import pytest

from mlxd.types import ReasoningShape, ToolShape
from mlxd.wire.output_spec import OutputSpec
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt, Opening
from mlxd.worker.text.answers import AnswerReader
from mlxd.worker.text.shapes import Shapes
from mlxd.worker.text.stop_strings import Include, StopStrings
from mlxd.worker.text.token_kinds import TokenKinds
from tests.unit.worker_text.shapes.case import RULES, told

QWEN = Shapes(tools=ToolShape.HERMES, reasoning=ReasoningShape.THINK)
MAGISTRAL = Shapes(tools=ToolShape.MISTRAL, reasoning=ReasoningShape.MISTRAL)
CALL = '<tool_call>{"name": "now", "arguments": {"a": "stop"}}</tool_call>'
CONTROLS = {0x10000: "[THINK]", 0x10001: "[/THINK]", 0x10002: "<|other|>", 0x10003: "</s>"}


def decode(ids):
    return "".join(chr(token) for token in ids if token not in CONTROLS)


def play(written, *, shapes=QWEN, opening=Opening.NONE, interval=1, **spec):
    """The output of an answer of one token a character, and what its deltas say. ``written``: text, and ids of control tokens."""
    reader = AnswerReader(decode, TokenKinds(CONTROLS), shapes)
    output = reader.output(EncodedPrompt([], 100, CacheRoot(model="m"), opening=opening), OutputSpec(tools=RULES, **spec), interval)
    parts = []
    for token in (one if isinstance(one, int) else ord(one) for piece in written for one in ([piece] if isinstance(piece, int) else piece)):
        delta = output.push(token)
        parts += delta.parts if delta else []
        if output.matched_stop is not None:
            break
    parts += output.finish().parts
    return output, told(parts, output.warnings)


@pytest.mark.parametrize("interval", [1, 4, 16])
class TestReasoningTokens:
    def test_they_count_with_their_markers(self, interval):
        output, said = play("<think>\nhm\n</think>\n\nyes", interval=interval)
        assert (said.reasoning, said.content) == ("hm", "yes")
        assert output.reasoning_tokens == len("<think>\nhm\n</think>")

    def test_those_of_a_block_that_the_prompt_opened(self, interval):
        assert play("hm</think>yes", opening=Opening.REASONING, interval=interval)[0].reasoning_tokens == len("hm</think>")

    def test_those_of_a_block_without_an_end(self, interval):
        assert play("<think>hm", interval=interval)[0].reasoning_tokens == len("<think>hm")

    def test_control_tokens_count(self, interval):
        assert play([0x10000, "hm", 0x10001, "yes"], shapes=MAGISTRAL, interval=interval)[0].reasoning_tokens == 4

    def test_content_and_calls_are_none(self, interval):
        assert play("x <think>", interval=interval)[0].reasoning_tokens == 0
        assert play(CALL, interval=interval)[0].reasoning_tokens == 0


def test_an_answer_knows_whether_it_calls():
    assert play(CALL)[0].calls_tools
    assert not play("<think>hm</think>No.")[0].calls_tools
    assert not play("<tool_call>no</tool_call>")[0].calls_tools


# ---- stop strings ----


@pytest.mark.parametrize("interval", [1, 4])
def test_stop_strings_are_neither_in_reasoning_nor_in_calls(interval):
    output, said = play(f"<think>stop</think>a{CALL}b stop c", stop=["stop"], interval=interval)
    assert (said.reasoning, said.content, output.matched_stop) == ("stop", "ab ", "stop")
    assert said.calls == [("now", '{"a": "stop"}')]


@pytest.mark.parametrize("stop", [">", "k", "think", "\n", "/", "tool", "</"])
def test_of_a_marker_a_stop_string_is_no_part(stop):
    output, said = play(f"<think>\nhm\n</think>\n\n{CALL}", stop=[stop])
    assert (said.reasoning, said.content, said.calls) == ("hm", "", [("now", '{"a": "stop"}')])
    assert output.matched_stop is None


def test_a_marker_may_be_a_stop_string():
    output, said = play("<think>hm</think>yes", stop=["</think>"])
    assert (said.reasoning, said.content, output.matched_stop) == ("hm", "", "</think>")


@pytest.mark.parametrize("interval", [1, 4])
def test_a_stop_string_is_shown_where_it_is_asked_for(interval):
    assert play("one. two", stop=["."], include_stop=True, interval=interval)[1].content == "one."
    assert play("one. two", stop=["."], interval=interval)[1].content == "one"


def test_a_stop_string_ends_what_would_be_half_a_marker():
    assert play("a <tool_", stop=["<tool"])[1].content == "a "


def test_a_marker_is_held_whole_however_it_is_cut_off():
    stops = StopStrings(["b>c", ">c"], Include.BEFORE)
    assert (stops.push("a"), stops.push_marker("<b>"), stops.push("c"), stops.flush()) == ("a", "", "c", "")
    assert stops.matched is None


# ---- control tokens, and answers that are not parsed ----


def test_control_tokens_are_shown_where_they_are_asked_for():
    written = ["a", 0x10002, "b", 0x10000, "c", 0x10001, "d"]
    assert play(written)[1].content == "abcd"
    assert play(written, special_tokens=True)[1].content == "a<|other|>b[THINK]c[/THINK]d"
    said = play(written, special_tokens=True, shapes=MAGISTRAL)[1]
    assert (said.content, said.reasoning) == ("a<|other|>bd", "c")


def test_a_raw_answer_is_as_the_model_wrote_it():
    written = f"<think>\nhm\n</think>\n\n{CALL}\n"
    output, said = play(written, is_raw=True)
    assert (said.content, said.reasoning, said.calls) == (written, "", [])
    assert output.reasoning_tokens == 0
