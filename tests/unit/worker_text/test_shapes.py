import pytest

from mlxd.types import ReasoningShape, ToolShape
from mlxd.worker.text.shape_rules import REASONING_RULES, THINKING, TOOL_RULES, Markers
from mlxd.worker.text.shapes import Evidence, WishedShapes, find_shapes


def shapes(template="", vocabulary=(), parser_type=None, **wished):
    evidence = Evidence({"chat_template.jinja": template}, frozenset(vocabulary), parser_type)
    return find_shapes(evidence, WishedShapes(**wished))


@pytest.mark.parametrize(
    ("template", "shape"),
    [
        ('<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>', "hermes"),
        ("<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>", "qwen_xml"),
        ("<tool_call>f\n<arg_key>a</arg_key>", "glm"),
        ("[TOOL_CALLS]f[ARGS]{}", "mistral"),
        ("<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0", "kimi"),
        ("<\uff5ctool\u2581calls\u2581begin\uff5c><\uff5ctool\u2581call\u2581begin\uff5c>", "deepseek"),
        ("<|START_ACTION|>[{}]<|END_ACTION|>", "cohere"),
        ("<|start|>assistant<|channel|>commentary to=functions.f<|message|>{}<|call|>", "harmony"),
        ("<start_function_call>call:f{}<end_function_call>", "gemma"),
        ("<|tool_call>call:f{}<tool_call|>", "gemma"),
        ('<minimax:tool_call>\n<invoke name="f">', "minimax"),
        ("<longcat_tool_call>f", "longcat"),
        ("<|tool_call_start|>[f(a=1)]<|tool_call_end|>", "pythonic"),
        ("<|python_start|>[f(a=1)]<|python_end|>", "pythonic"),
        ('Respond in the format {"name": function name, "parameters": dictionary}', "json"),
        ("{{ messages }}", "none"),
    ],
)
def test_a_template_s_marker_tells_the_shape_of_calls(template, shape):
    found = shapes(template)
    assert found.tools == ToolShape(shape)
    assert found.tools_origin.startswith("chat_template.jinja has " if shape != "none" else "neither ")


def test_the_most_telling_template_counts():
    evidence = Evidence({"a call in history": "<tool_call>f<arg_key>", "chat_template.jinja": "[TOOL_CALLS]"}, frozenset())
    found = find_shapes(evidence, WishedShapes())
    assert (found.tools, found.tools_origin) == (ToolShape.GLM, "a call in history has <arg_key>")


@pytest.mark.parametrize(
    ("vocabulary", "shape"),
    [
        (["<tool_call>", "</tool_call>"], "hermes"),
        (["[TOOL_CALLS]", "[ARGS]"], "mistral"),
        (["<|python_tag|>"], "json"),
        (["<|start|>", "<|channel|>", "<|message|>"], "harmony"),
        (["<|tool_call_start|>", "<|tool_call_end|>"], "pythonic"),
        (["<function", "="], "none"),
    ],
)
def test_without_one_the_vocabulary_does(vocabulary, shape):
    assert shapes(vocabulary=vocabulary).tools == ToolShape(shape)


def test_mlx_lm_s_parser_counts_before_the_vocabulary():
    found = shapes(vocabulary=["<tool_call>"], parser_type="qwen3_coder")
    assert (found.tools, found.warnings) == (ToolShape.QWEN_XML, ())
    assert found.tools_origin == 'tokenizer_config.json "tool_parser_type" is qwen3_coder'


def test_a_parser_that_finds_nothing_of_what_the_template_asks_for_is_warned_of():
    found = shapes("<tool_call>\n<function=f>\n<parameter=a>", parser_type="json_tools")
    assert found.tools is ToolShape.QWEN_XML
    assert "json_tools" in found.warnings[0]
    assert "qwen_xml (chat_template.jinja has <function=)" in found.warnings[0]


def test_a_parser_that_nobody_knows_is_warned_of():
    (warning,) = shapes(parser_type="kimi_k9").warnings
    assert "kimi_k9" in warning


# ---- reasoning ----


@pytest.mark.parametrize(
    ("template", "vocabulary", "shape", "thinking"),
    [
        ("{{ '<think>\n\n</think>' }}", [], "think", Markers("<think>", "</think>")),
        ("x", ["<think>", "</think>"], "think", Markers("<think>", "</think>")),
        ("<seed:think></seed:think>", [], "think", Markers("<seed:think>", "</seed:think>")),
        ("", ["<longcat_think>", "</longcat_think>"], "think", Markers("<longcat_think>", "</longcat_think>")),
        ("", ["[THINK]", "[/THINK]"], "mistral", Markers("[THINK]", "[/THINK]")),
        ("<|START_THINKING|><|END_THINKING|>", [], "cohere", Markers("<|START_THINKING|>", "<|END_THINKING|>")),
        ("<|channel>thought\n<channel|>", [], "gemma", Markers("<|channel>thought", "<channel|>")),
        ("", ["<|start|>", "<|channel|>", "<|message|>"], "harmony", None),
        ("{{ messages }}", ["think"], "none", None),
    ],
)
def test_markers_of_reasoning(template, vocabulary, shape, thinking):
    found = shapes(template, vocabulary)
    assert (found.reasoning, found.thinking) == (ReasoningShape(shape), thinking)


# ---- what an operator sets ----


def test_what_is_set_counts():
    found = shapes("<tool_call>", tools=ToolShape.QWEN_XML, reasoning=ReasoningShape.NONE)
    assert (found.tools, found.reasoning) == (ToolShape.QWEN_XML, ReasoningShape.NONE)
    assert found.tools_origin == 'set in the configuration: output.tools = "qwen_xml"'


def test_a_shape_that_nothing_supports_is_warned_of():
    found = shapes("<tool_call>", tools=ToolShape.MISTRAL, reasoning=ReasoningShape.COHERE)
    assert (found.tools, found.reasoning) == (ToolShape.MISTRAL, ReasoningShape.COHERE)
    tools, reasoning = found.warnings
    assert "[TOOL_CALLS]" in tools
    assert "hermes, for chat_template.jinja has <tool_call>" in tools
    assert "<|START_THINKING|>" in reasoning


@pytest.mark.parametrize("wished", [{"tools": ToolShape.NONE}, {"reasoning": ReasoningShape.NONE}, {"tools": ToolShape.HERMES}, {}])
def test_a_shape_that_something_supports_is_not(wished):
    assert shapes("<tool_call><think></think>", **wished).warnings == ()


def test_every_shape_has_rules_and_markers():
    assert {rule.shape for rule in TOOL_RULES} == set(ToolShape) - {ToolShape.NONE}
    assert {rule.shape for rule in REASONING_RULES} == set(ReasoningShape) - {ReasoningShape.NONE}
    assert THINKING.keys() == set(ReasoningShape)
