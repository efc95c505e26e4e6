"""Calls behind reasoning, and inside reasoning that was not closed."""

import pytest

from mlxd.types import ReasoningShape, ToolShape
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.text.parsers.registry import TOOLS, parser_for
from mlxd.worker.text.shapes import Shapes
from tests.unit.worker_text.shapes import cohere, deepseek, gemma, glm, hermes, json_bare, kimi, longcat, minimax, mistral, qwen_xml
from tests.unit.worker_text.shapes.case import RULES, cut, read

NOW = [("now", "{}")]
THINK = ("<think>", "</think>")
GEMMA = ("<|channel>thought\n", "<channel|>")
COHERE = ("<|START_THINKING|>", "<|END_THINKING|>")
CALLS = {
    ToolShape.HERMES: (ReasoningShape.THINK, THINK, hermes.call("now", {})),
    ToolShape.JSON: (ReasoningShape.THINK, THINK, json_bare.marked(json_bare.NOW)),
    ToolShape.LONGCAT: (ReasoningShape.THINK, THINK, longcat.call("now", {})),
    ToolShape.MISTRAL: (ReasoningShape.MISTRAL, ("[THINK]", "[/THINK]"), mistral.call("now", {})),
    ToolShape.QWEN_XML: (ReasoningShape.THINK, THINK, qwen_xml.call("now")),
    ToolShape.GLM: (ReasoningShape.THINK, THINK, glm.call("now", {})),
    ToolShape.MINIMAX: (ReasoningShape.THINK, THINK, minimax.section(minimax.call("now", {}))),
    ToolShape.DEEPSEEK: (ReasoningShape.THINK, THINK, deepseek.section(deepseek.plain("now", {}))),
    ToolShape.KIMI: (ReasoningShape.THINK, THINK, kimi.section(kimi.call("now", {}))),
    ToolShape.GEMMA: (ReasoningShape.GEMMA, GEMMA, gemma.new("now", {})),
    ToolShape.COHERE: (ReasoningShape.COHERE, COHERE, cohere.section(cohere.NOW)),
}
CONTROLS = frozenset({"<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", *COHERE, cohere.OPENS, cohere.CLOSES})


def answer(shape, written, *, opening=Opening.NONE, rules=RULES, controls=frozenset()):
    """What an answer says, which is the same however it is cut."""
    shapes = Shapes(tools=shape, reasoning=CALLS[shape][0])
    found = [read(parser_for(shapes, rules, opening), cut(written, size, controls), controls) for size in (1, 2, 3, 5, 7, 1000)]
    assert all(one == found[0] for one in found)
    return found[0]


@pytest.mark.parametrize("shape", CALLS)
@pytest.mark.parametrize("controls", [frozenset(), CONTROLS], ids=["text", "control tokens"])
@pytest.mark.parametrize("between", ["", "\n\n"])
def test_a_call_behind_reasoning(shape, controls, between):
    _, (opens, closes), call = CALLS[shape]
    found = answer(shape, f"{opens}Which clock?{closes}{between}{call}", controls=controls)
    assert (found.reasoning, found.content, found.calls, found.warnings) == ("Which clock?", "", NOW, [])


@pytest.mark.parametrize("shape", CALLS)
def test_a_call_behind_reasoning_that_the_prompt_opened(shape):
    _, (_, closes), call = CALLS[shape]
    found = answer(shape, f"Which clock?{closes}Well.\n{call}", opening=Opening.REASONING)
    assert (found.reasoning, found.content, found.calls) == ("Which clock?", "Well.\n", NOW)


@pytest.mark.parametrize("shape", CALLS)
def test_a_call_inside_reasoning_that_is_not_closed(shape):
    _, (opens, _), call = CALLS[shape]
    found = answer(shape, f"{opens}Which clock?{call}")
    assert (found.reasoning, found.calls, found.warnings) == ("Which clock?", NOW, [])


AT_ONCE = {ToolShape.KIMI, ToolShape.DEEPSEEK, ToolShape.COHERE, ToolShape.GEMMA, ToolShape.MISTRAL}
DRAFTS = [shape for shape in CALLS if shape not in AT_ONCE]


@pytest.mark.parametrize("shape", DRAFTS)
@pytest.mark.parametrize("behind", ["", "\n", "</think>", "\n</think>\n\n"])
def test_an_answer_that_ends_with_calls_inside_reasoning_makes_them(shape, behind):
    found = answer(shape, f"<think>Which clock?\n{CALLS[shape][2]}{CALLS[shape][2]}{behind}")
    assert (found.reasoning, found.content, found.calls, found.warnings) == ("Which clock?", "", NOW * 2, [])


@pytest.mark.parametrize("shape", DRAFTS)
@pytest.mark.parametrize("behind", [" Or not?", "\nOr not?</think>", "</think>No."])
def test_a_call_that_a_model_only_thinks_of_is_reasoning(shape, behind):
    call = CALLS[shape][2]
    found = answer(shape, f"<think>I could\n{call}{behind}")
    assert found.reasoning + found.content == f"I could\n{call}{behind}".replace("</think>", "")
    assert (found.calls, found.warnings) == ([], [])


@pytest.mark.parametrize("shape", DRAFTS)
def test_a_thought_call_may_be_made_afterwards(shape):
    call = CALLS[shape][2]
    found = answer(shape, f"<think>I could {call}\n\n</think>\n\n{call}")
    assert (found.reasoning, found.content, found.calls) == (f"I could {call}", "", NOW)


@pytest.mark.parametrize("shape", DRAFTS)
def test_reasoning_may_speak_of_markers(shape):
    opens = TOOLS[shape].openings[0]
    found = answer(shape, f"<think>Calls are {opens} here, `{opens}`, {opens}</think>Yes.")
    assert (found.reasoning, found.content, found.calls, found.warnings) == (f"Calls are {opens} here, `{opens}`, {opens}", "Yes.", [], [])


@pytest.mark.parametrize("shape", CALLS)
def test_without_tools_nothing_is_a_call(shape):
    _, (opens, closes), call = CALLS[shape]
    found = answer(shape, f"{opens}Which clock?{closes}{call}", rules=None)
    assert (found.reasoning, found.content, found.calls, found.warnings) == ("Which clock?", call, [], [])


@pytest.mark.parametrize("controls", [frozenset(), CONTROLS], ids=["text", "control tokens"])
def test_gemma_s_empty_channel_is_not_shown(controls):
    found = answer(ToolShape.GEMMA, "<|channel>thought\n<channel|>Four.", controls=controls)
    assert (found.reasoning, found.content) == ("", "Four.")


@pytest.mark.parametrize("rules", [RULES, None])
def test_cohere_s_markers_around_content_are_not_shown(rules):
    found = answer(ToolShape.COHERE, "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Four.<|END_RESPONSE|>", rules=rules)
    assert (found.reasoning, found.content) == ("Hm.", "Four.")
