"""The paged runner with compiled steps says what mlx-lm says alone, whoever else is there."""

import logging

import mlx.core as mx
import pytest

from tests.worker.compiled.steps import GATHER
from tests.worker.runner_rig import PagedRig, alone, architecture, plain, words

pytestmark = pytest.mark.usefixtures("traced")


@pytest.fixture(scope="module")
def loaded():
    return architecture("llama")


@pytest.fixture
def rig(loaded):
    """Makes rigs whose steps are compiled; the model is left as it was."""
    made = []

    def make(**sizes):
        found = PagedRig(loaded, **sizes)
        found.model.ways.regions = GATHER
        found.model.compile()
        made.append((found.model, found.model.ways))
        return found

    regions = PagedRig(loaded).model.ways.regions
    yield make
    for model, ways in made:
        model.compiled, ways.regions = None, regions


PROMPTS = {"long": words(1, 61), "twin": [*words(1, 61)[:44], *words(2, 7)], "short": words(3, 5), "other": words(4, 30)}


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("sizes", [{}, {"arena_blocks": 8, "max_arenas": 16}, {"arena_blocks": 24, "max_arenas": 2}], ids=str)
def test_answers_in_company_are_those_alone(loaded, rig, ahead, sizes):
    """In one arena, in many, and where some have to wait or are preempted."""
    company = rig(ahead=ahead, **sizes)
    for step, (name, prompt) in enumerate(PROMPTS.items()):
        company.add(name, prompt, max_tokens=20)
        for _ in range(2 * step):
            company.step()
    company.run()
    assert company.tokens == alone(loaded, PROMPTS, 20, said=company.tokens)
    assert company.model.compiled.trouble is None
    assert company.model.compiled.traced > 3


def test_sampled_answers_are_those_of_plain_steps(loaded, rig):
    asked = {"temperature": 0.8, "top_p": 0.9, "seed": 7, "presence_penalty": 0.5}
    answers = []
    for make in (rig, lambda: PagedRig(loaded)):
        found = make()
        for name, prompt in PROMPTS.items():
            found.add(name, prompt, max_tokens=16, **asked)
        found.run()
        answers.append(found.tokens)
        found.model.compiled = None
    assert answers[0] == answers[1]


def test_a_shape_that_cannot_be_traced_ends_no_request(loaded, rig, monkeypatch, caplog):
    """It is computed as it is, and so are all after it."""
    found = rig()
    found.add("first", PROMPTS["long"], max_tokens=20)
    for _ in range(6):
        found.step()

    def fails(_):
        raise ValueError("no such thing")

    monkeypatch.setattr(found.model.compiled, "_call", fails)
    found.add("second", PROMPTS["short"], max_tokens=20)
    with caplog.at_level(logging.WARNING):
        found.run()
    assert found.tokens == {"first": plain(loaded, PROMPTS["long"], 20), "second": plain(loaded, PROMPTS["short"], 20)}
    assert "ValueError: no such thing" in found.model.compiled.trouble
    assert "not compiled" in caplog.text


def test_a_function_that_fails_at_its_first_step_is_the_last_one(loaded, rig, monkeypatch):
    """What a device makes of a new function shows when it is evaluated: those in that step have failed, and nobody after them."""
    found = rig()
    found.add("first", PROMPTS["long"], max_tokens=20)
    for _ in range(6):
        found.step()
    found.add("second", PROMPTS["short"], max_tokens=20)
    is_new = type(found.model.compiled)._logits

    def fails(steps, *args):
        logits = is_new(steps, *args)
        if steps._is_new:
            monkeypatch.setattr(mx, "async_eval", lambda *_: (_ for _ in ()).throw(RuntimeError("no kernel")))
        return logits

    monkeypatch.setattr(type(found.model.compiled), "_logits", fails)
    found.run()
    monkeypatch.undo()
    assert "first" in found.failed
    assert found.model.compiled.trouble is not None
    assert found.ask(PROMPTS["other"], max_tokens=20)[0] == plain(loaded, PROMPTS["other"], 20)


def test_a_fault_of_another_step_leaves_functions_alone(loaded, rig, monkeypatch):
    found = rig(spare=1024)  # arenas that grow would make functions anew
    found.ask(PROMPTS["long"], "warm", max_tokens=12)
    found.add("first", PROMPTS["long"], max_tokens=12)
    for _ in range(4):
        found.step()
    monkeypatch.setattr(mx, "async_eval", lambda *_: (_ for _ in ()).throw(RuntimeError("out of memory")))
    found.step()
    monkeypatch.undo()
    assert "first" in found.failed
    assert found.model.compiled.trouble is None
    assert found.ask(PROMPTS["long"], max_tokens=20)[0] == plain(loaded, PROMPTS["long"], 20)
