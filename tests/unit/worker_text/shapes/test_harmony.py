"""gpt-oss's answers mean the same however they are cut, and what they should."""

from mlxd.wire.output_spec import ToolRules
from mlxd.worker.text.parsers.harmony import HarmonyParser
from tests.support.cases import over
from tests.unit.worker_text.shapes.case import RULES, check, cut, read
from tests.unit.worker_text.shapes.harmony import CASES, CONTROLS, PROMPT, call


@over(CASES)
def test_an_answer_means_what_it_should_however_it_is_cut(case):
    whole = read(HarmonyParser(RULES), [*PROMPT, *cut(case.written, 10**6, CONTROLS)], CONTROLS)
    check(case, whole)
    for size in (1, 2, 3, 5, 7):
        assert read(HarmonyParser(RULES), [*PROMPT, *cut(case.written, size, CONTROLS)], CONTROLS) == whole


@over(CASES)
def test_markers_of_a_model_without_control_tokens_are_their_spelling(case):
    for size in (1, 2, 3, 5, 7, 1000):
        check(case, read(HarmonyParser(RULES), cut(case.written, size)))


def test_without_tools_the_body_of_a_call_is_content():
    found = read(HarmonyParser(), cut(call("now", {"a": 1}), 3, CONTROLS), CONTROLS)
    assert (found.content, found.calls, found.warnings) == ('{"a": 1}', [], [])


def test_of_calls_that_a_request_does_not_want_only_the_first_is_one():
    rules = ToolRules(tools=RULES.tools, parallel=False)
    written = call("now", {}) + "<|start|>assistant" + call("now", {"a": 1})
    found = read(HarmonyParser(rules), cut(written, 3, CONTROLS), CONTROLS)
    assert (found.content, found.calls) == ('{"a": 1}', [("now", "{}")])
    assert found.warnings
