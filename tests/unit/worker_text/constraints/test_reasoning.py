"""Answers that think before a grammar begins, and budgets of it."""

import pytest

from mlxd.types import ReasoningShape
from mlxd.wire.output_spec import Choice, OutputSpec
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.text.shapes import Shapes
from tests.unit.worker_text.constraints.walk import THINKS, allowed_tokens, constraint_of, fed, tiny_vocabulary

MARKERS = ("<think>", "</think>")
HARMONY = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|constrain|>")
VOCABULARIES = {
    "control tokens": tiny_vocabulary(*MARKERS),
    "added tokens": tiny_vocabulary(*MARKERS, special=False),
    "text": tiny_vocabulary(),
}
YES = Choice(field="c", choices=["yes"])


def spelled(constraint, vocabulary, text):
    """Whether this may be the answer."""
    try:
        fed(constraint, vocabulary, text)
    except AssertionError:
        return False
    return bool(set(allowed_tokens(constraint, vocabulary)) & vocabulary.ends)


@pytest.mark.parametrize("kind", VOCABULARIES)
@pytest.mark.parametrize(
    ("opening", "text", "is_allowed"),
    [
        (Opening.REASONING, "so {it} is</think>\n\nyes", True),
        (Opening.REASONING, "so\n</think>yes", True),
        (Opening.REASONING, "</think>yes", True),
        (Opening.REASONING, "so</think>\n\n.yes", False),
        (Opening.REASONING, "so</think>\n\nyes, sir", False),
        (Opening.REASONING, "yes", False),
        (Opening.NONE, "<think>\nso</think>\n\nyes", True),
        (Opening.NONE, "yes", True),
        (Opening.NONE, "so</think>yes", False),
        (Opening.CONTENT, "yes", True),
        (Opening.CONTENT, "<think>so</think>yes", False),
    ],
)
def test_a_grammar_begins_exactly_behind_the_reasoning(kind, opening, text, is_allowed):
    vocabulary = VOCABULARIES[kind]
    constraint = constraint_of(OutputSpec(constraint=YES), THINKS, opening, vocabulary)
    assert spelled(constraint, vocabulary, text) is is_allowed


def test_a_raw_answer_does_not_reason():
    vocabulary = VOCABULARIES["control tokens"]
    constraint = constraint_of(OutputSpec(constraint=YES, is_raw=True), THINKS, Opening.REASONING, vocabulary)
    assert spelled(constraint, vocabulary, "yes")


@pytest.mark.parametrize(
    ("opening", "text", "is_allowed"),
    [
        (Opening.NONE, "<|channel|>final<|message|>yes", True),
        (Opening.NONE, "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>yes", True),
        (Opening.NONE, "yes", False),
        (Opening.NONE, "<|channel|>final<|message|>no", False),
        (Opening.NONE, "<|channel|>analysis<|message|>yes", False),
        (Opening.REASONING, "hm<|end|><|start|>assistant<|channel|>final<|message|>yes", True),
    ],
)
def test_a_grammar_is_the_final_message_of_harmony(opening, text, is_allowed):
    vocabulary = tiny_vocabulary(*HARMONY)
    constraint = constraint_of(OutputSpec(constraint=YES), Shapes(reasoning=ReasoningShape.HARMONY), opening, vocabulary)
    assert spelled(constraint, vocabulary, text) is is_allowed


def said(constraint, vocabulary, wish, most=60):
    """What a model says that goes on with ``wish``, token by token, wherever it may."""
    tokens, text = vocabulary.tokens(wish), []
    for _ in range(most):
        allowed = allowed_tokens(constraint, vocabulary)
        at = next((at for at, one in enumerate(tokens) if one in allowed), None)
        if at is None and len(allowed) > 1:
            break
        token = allowed[0] if at is None or (len(allowed) == 1 and at > 0) else tokens[at]
        tokens = tokens[at + 1 :] if at is not None and token == tokens[at] and (len(allowed) > 1 or at == 0) else tokens
        constraint.accept(token)
        text.append(token)
    return vocabulary.tokenizer.decode_str(text)


@pytest.mark.parametrize("kind", VOCABULARIES)
@pytest.mark.parametrize(
    ("budget", "opening", "wish", "answer"),
    [
        (3, Opening.REASONING, "abcdefg", "abc\n</think>\n\ndefg"),
        (0, Opening.REASONING, "abc", "\n</think>\n\nabc"),
        (9, Opening.REASONING, "ab</think>cdefghijklmnop", "ab</think>cdefghijklmnop"),
        (2, Opening.NONE, "<think>abcd", "<think>ab\n</think>\n\ncd"),
        (0, Opening.NONE, "<think>abcd", "<think>\n</think>\n\nabcd"),
        (2, Opening.NONE, "abcdef", "abcdef"),
        (2, Opening.NONE, "a <think> b", "a <think> b"),
        (2, Opening.CONTENT, None, None),
    ],
)
def test_a_budget_closes_the_reasoning(kind, budget, opening, wish, answer):
    vocabulary = VOCABULARIES[kind]
    constraint = constraint_of(OutputSpec(thinking_budget=budget), THINKS, opening, vocabulary)
    if wish is None:
        assert constraint is None
    elif kind == "text" and budget == 9:
        assert said(constraint, vocabulary, "ab</think>c").startswith("ab")  # the marker's own tokens count
    else:
        assert said(constraint, vocabulary, wish) == answer


def test_a_budget_before_a_grammar():
    vocabulary = VOCABULARIES["control tokens"]
    constraint = constraint_of(OutputSpec(thinking_budget=2, constraint=YES), THINKS, Opening.REASONING, vocabulary)
    assert said(constraint, vocabulary, "abcdef").startswith("ab\n</think>\n\nyes")


def test_a_budget_waits_for_the_end_of_a_character():
    vocabulary = VOCABULARIES["control tokens"]
    constraint = constraint_of(OutputSpec(thinking_budget=1, constraint=YES), THINKS, Opening.REASONING, vocabulary)
    assert said(constraint, vocabulary, "é😀").startswith("é\n</think>\n\nyes")


def test_a_budget_of_harmony_ends_in_the_final_message():
    vocabulary = tiny_vocabulary(*HARMONY)
    shapes = Shapes(reasoning=ReasoningShape.HARMONY)
    constraint = constraint_of(OutputSpec(thinking_budget=2, constraint=YES), shapes, Opening.NONE, vocabulary)
    answer = said(constraint, vocabulary, "<|channel|>analysis<|message|>abcdef", most=120)
    assert answer.startswith("<|channel|>analysis<|message|>ab<|end|><|start|>assistant<|channel|>final<|message|>yes")


def test_no_budget_for_a_model_that_does_not_reason():
    assert constraint_of(OutputSpec(thinking_budget=2), Shapes(), Opening.NONE) is None
