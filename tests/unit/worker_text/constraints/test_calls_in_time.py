"""Answers that must be calls, and would repeat them for ever."""

import json

import pytest

from mlxd.types import ToolShape
from mlxd.wire.output_spec import OutputSpec, Tool, ToolRules
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.text.constraints.answer import AnswerConstraints
from mlxd.worker.text.shapes import Shapes
from tests.unit.worker_text.constraints.walk import allowed_tokens, tiny_vocabulary

VOCABULARY = tiny_vocabulary()
NUMBERS = {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"], "additionalProperties": False}
RULES = ToolRules(tools=[Tool(name="f", parameters=NUMBERS)], required=True)


def repeated(max_tokens):
    """The answer of a model that goes on wherever it may."""
    constraint = AnswerConstraints(VOCABULARY, Shapes(tools=ToolShape.HERMES)).of(OutputSpec(tools=RULES), Opening.NONE, max_tokens)
    tokens = []
    while len(tokens) < max_tokens:
        allowed = [token for token in allowed_tokens(constraint, VOCABULARY) if token not in VOCABULARY.ends]
        if not allowed:
            break
        token = next((token for token in allowed if VOCABULARY.text(token) not in " \n\t"), allowed[0])
        constraint.accept(token)
        tokens.append(token)
    return VOCABULARY.tokenizer.decode_str(tokens)


@pytest.mark.parametrize("max_tokens", range(190, 360, 7))
def test_no_call_is_begun_for_which_no_tokens_are_left(max_tokens):
    *calls, rest = repeated(max_tokens).split("</tool_call>")
    assert len(calls) > 1
    assert rest.strip() == ""
    assert all(json.loads(call.split("<tool_call>")[1])["arguments"] == {"a": 1} for call in calls)


def test_the_first_call_is_begun_whatever_is_left():
    assert repeated(20).startswith("<tool_call>")
