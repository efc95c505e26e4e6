"""How much a model is to think, in every spelling, and variables for its template."""

import json

import pytest

from mlxd.errors import InvalidRequestError
from tests.support.chat_requests import chat, job


def prompt(**fields):
    return job(chat(**fields)).prompt


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
@pytest.mark.parametrize("written", [lambda effort: {"reasoning_effort": effort}, lambda effort: {"reasoning": {"effort": effort}}])
def test_effort(effort, written):
    assert prompt(**written(effort)).reasoning_effort == effort


BUDGETS = [
    {"thinking_budget": 64},
    {"thinking_token_budget": 64},
    {"thinking_budget_tokens": 64},
    {"reasoning_budget": 64.0},
    {"thinking": {"type": "enabled", "budget_tokens": 64}},
    {"reasoning": {"max_tokens": 64}},
    {"thinking_budget": 64, "thinking_token_budget": 64},
]


@pytest.mark.parametrize("fields", BUDGETS, ids=json.dumps)
def test_budgets(fields):
    assert job(chat(**fields)).output.thinking_budget == 64


@pytest.mark.parametrize(("given", "budget"), [(0, 0), (-1, None), (None, None)])
def test_a_budget_of_nothing_and_none(given, budget):
    assert job(chat(thinking_budget=given)).output.thinking_budget == budget


SWITCHES = [
    {"enable_thinking": False},
    {"think": False},
    {"thinking": {"type": "disabled"}},
    {"reasoning": {"enabled": False}},
    {"chat_template_kwargs": {"enable_thinking": False}},
    {"chat_template_kwargs": {"enable_thinking": False}, "enable_thinking": False},
]


@pytest.mark.parametrize("fields", SWITCHES, ids=json.dumps)
def test_thinking_is_switched_off(fields):
    assert prompt(**fields).variables == {"enable_thinking": False}


def test_variables_reach_the_template():
    assert prompt(chat_template_kwargs={"thinking": True, "date": "today"}, enable_thinking=True).variables == {
        "thinking": True,
        "date": "today",
        "enable_thinking": True,
    }
    assert prompt(thinking={"type": "auto"}).variables == {}


WRONG = [
    ({"reasoning_effort": "junk"}, "reasoning_effort", "must be 'none'"),
    ({"reasoning_effort": 5}, "reasoning_effort", "not 5"),
    ({"reasoning": {"effort": "junk"}}, "reasoning.effort", "must be"),
    ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, "reasoning.effort", "differ"),
    ({"thinking_budget": 5, "reasoning": {"max_tokens": 6}}, "reasoning.max_tokens", "differ"),
    ({"thinking_budget": -2}, "thinking_budget", "at least -1"),
    ({"thinking_budget": "5"}, "thinking_budget", "must be an integer"),
    ({"enable_thinking": True, "thinking": {"type": "disabled"}}, "thinking.type", "differ"),
    ({"enable_thinking": True, "chat_template_kwargs": {"enable_thinking": False}}, "chat_template_kwargs.enable_thinking", "differ"),
    ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages", "is not for a request to set"),
    ({"chat_template_kwargs": {"tools": []}}, "chat_template_kwargs.tools", "is not for a request to set"),
    ({"chat_template_kwargs": {"chat_template": "x"}}, "chat_template_kwargs.chat_template", "is not for a request to set"),
    ({"chat_template_kwargs": [1]}, "chat_template_kwargs", "must be an object"),
    ({"chat_template": "{{ 1 }}"}, "chat_template", "not supported yet"),
    ({"thinking": {"type": "maybe"}}, "thinking.type", "must be"),
]


@pytest.mark.parametrize(("fields", "param", "fragment"), WRONG, ids=[json.dumps(fields) for fields, _, _ in WRONG])
def test_what_is_wrong_is_named(fields, param, fragment):
    with pytest.raises(InvalidRequestError, match=fragment) as caught:
        prompt(**fields)
    assert caught.value.param == param
