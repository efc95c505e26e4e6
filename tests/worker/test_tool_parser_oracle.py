"""What mlx-lm's parsers of tool calls make of whole calls is what the streaming ones do, where mlx-lm's are right."""

import pytest
from mlx_lm.tool_parsers import function_gemma, gemma4, glm47, kimi_k2, minimax_m2, pythonic, qwen3_coder

from tests.unit.worker_text.shapes import gemma, glm, kimi, minimax, qwen_xml
from tests.unit.worker_text.shapes import pythonic as pythonic_answers
from tests.unit.worker_text.shapes.case import RULES

TOOLS = [{"type": "function", "function": {"name": tool.name, "parameters": tool.parameters or {}}} for tool in RULES.tools]
ANSWERS = {
    function_gemma: gemma.CASES,
    gemma4: gemma.CASES,
    glm47: glm.CASES,
    kimi_k2: kimi.CASES,
    minimax_m2: minimax.CASES,
    pythonic: pythonic_answers.CASES,
    qwen3_coder: qwen_xml.CASES,
}
STRIPPED = {"unicode", "code", "a long string", "white space around a string is the string's"}  # white space at the ends of strings
SHOWING = {  # markers inside values, which end them there
    "markers",
    "LFM2: markers",
    "FunctionGemma: markers",
    "code with brackets, quotes and markers",
    "the end of a value in a value",
    "the end of a parameter in a value",
    "a file that shows a call",
    "a file that ends with a call, and a parameter behind it",
}
NAMES = {f"{family}: a name with a {what}" for family in ("FunctionGemma", "Gemma 4", "LFM2") for what in ("hyphen", "dot")}
CONTAINERS = {"an object", "FunctionGemma: code", "FunctionGemma: an object", "FunctionGemma: a long list"}  # cut at commas and braces
BY_SCHEMA = {  # which is not looked at, or not for all kinds
    "an integer with zeros",
    "a string that looks like null",
    "None where it may be null",
    "an object of Python",
    "an object where anything may stand",
}
UNREAD = {  # what models write and mlx-lm does not read
    "None of Python",
    "a call without a list",
    "a forgotten comma",
    "a section whose end is cut off",
    "a section without its end",
    "a string in JSON's quotes",
    "a key with escapes",
    "a value that is not closed",
    "JSON in its tag",
    "keys in JSON's quotes",
    "round brackets",
    "two functions in one tag",
    "white space",
    "without an index",
    "without its end",
    "without the end of its function",
    "without the end of its section",
    "without the end of its tag",
}
WRONG = STRIPPED | SHOWING | NAMES | CONTAINERS | BY_SCHEMA | UNREAD


def calls_of(parser, written):
    """The calls in ``written``, as mlx-lm's server finds them: between the parser's markers."""
    calls = []
    for behind in written.split(parser.tool_call_start)[1:]:
        parsed = parser.parse_tool_call(behind.partition(parser.tool_call_end)[0], TOOLS)
        calls += parsed if isinstance(parsed, list) else [parsed]
    return [(call["name"], call["arguments"]) for call in calls]


@pytest.mark.parametrize("parser", ANSWERS, ids=lambda parser: parser.__name__.rpartition(".")[2])
def test_calls_are_what_mlx_lm_reads(parser):
    whole = [case for case in ANSWERS[parser] if case.calls and not case.warns and parser.tool_call_start in case.written]
    compared = [case for case in whole if case.name not in WRONG]
    assert len(compared) > 18
    for case in compared:
        assert calls_of(parser, case.written) == case.calls, case.name
