"""Answers with grammars through the whole worker, from a model that says anything."""

import json

import jsonschema_rs
import msgspec
import pytest

from mlxd.types import Ability, FinishReason, Stopping
from mlxd.wire.events import Failed
from mlxd.wire.messages import Ready
from mlxd.wire.output_spec import Choice, Grammar, JsonSchema, OutputSpec, Regex, Tool, ToolRules
from mlxd.wire.parts import ToolCallArguments, ToolCallBegun
from tests.worker.worker_link import generate

pytestmark = [pytest.mark.usefixtures("proved_once"), pytest.mark.asyncio(loop_scope="module")]

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99}, "b": {"enum": ["x", "é😀", None]}, "c": {"type": "boolean"}},
    "required": ["a", "b", "c"],
}
YES_OR_NO = Choice(field="choice", choices=["yes", "no"])


def asked(name, constraint, *, stopping=None, **sampling):
    made = generate(name, "hi", max_tokens=300, **({"temperature": 1.0, "seed": len(name)} | sampling))
    return msgspec.structs.replace(made, output=OutputSpec(constraint=constraint), stopping=stopping or Stopping())


async def test_answers_are_what_is_asked_for(link):
    wishes = {
        "choice": YES_OR_NO,
        "regex": Regex(field="r", pattern="[0-9]{4}"),
        "grammar": Grammar(field="g", text='start: "a"~3 "b"', syntax="lark"),
        **{f"schema{'x' * n}": JsonSchema(field="s", schema=SCHEMA) for n in range(2)},
    }
    link.send(*(asked(name, constraint, temperature=float(len(name) % 2)) for name, constraint in wishes.items()))
    last = {name: await link.ended(name) for name in wishes}
    assert {name: end.reason for name, end in last.items()} == dict.fromkeys(wishes, FinishReason.STOP)
    assert link.text("choice") in {"yes", "no"}
    assert link.text("regex").isdecimal()
    assert len(link.text("regex")) == 4
    assert link.text("grammar") == "aaab"
    for name in wishes:
        assert not name.startswith("schema") or jsonschema_rs.is_valid(SCHEMA, json.loads(link.text(name)))


async def test_a_runner_says_that_it_can(link):
    assert Ability.CONSTRAINTS in link.of(Ready)[0].abilities


async def test_what_cannot_be_enforced_is_refused_and_nothing_else(link):
    link.send(asked("bad", JsonSchema(field="schema", schema={"items": {"not": {}}})), asked("good", YES_OR_NO))
    refused = await link.ended("bad")
    assert isinstance(refused, Failed)
    assert (refused.error.code, refused.error.param) == ("invalid_request", "schema/items/not")
    assert (await link.ended("good")).reason is FinishReason.STOP


async def test_a_grammar_that_breaks_ends_its_answer_and_no_other(link):
    broken = Grammar(field="g", text="start: A\nA: ~(~(/.*a.{12}/ & /.*b.{13}/) & /.*c.{14}/)", syntax="lark")
    link.send(asked("broken", broken, seed=3), asked("good", YES_OR_NO))
    assert (await link.ended("good")).reason is FinishReason.STOP
    ended = await link.ended("broken")
    assert not isinstance(ended, Failed) or ended.error.code == "generation_failed"


async def test_a_grammar_says_where_its_answer_ends(link):
    link.send(asked("a", YES_OR_NO, stopping=Stopping(min_tokens=50, ignore_end=True)))
    assert (await link.ended("a")).reason is FinishReason.STOP
    assert link.text("a") in {"yes", "no"}


async def test_required_calls_are_made_with_valid_arguments(link):
    """By a model that was never told how: its template knows no tools, and the shape is the one in which they are told in its place."""
    parameters = {
        "type": "object",
        "properties": {"unit": {"enum": ["c", "f"]}, "days": {"type": "integer", "minimum": 1}},
        "required": ["unit"],
    }
    rules = ToolRules(tools=[Tool(name="get_weather", parameters=parameters), Tool(name="stop")], required=True, parallel=False)
    made = [generate(f"a{seed}", "hi", max_tokens=400, temperature=1.0, seed=seed) for seed in range(3)]
    link.send(*(msgspec.structs.replace(one, output=OutputSpec(tools=rules)) for one in made))
    for one in made:
        assert (await link.ended(one.id)).reason is FinishReason.TOOL_CALLS
        parts = [part for event in link.events[one.id] for part in getattr(event, "parts", ())]
        (name,) = (part.name for part in parts if isinstance(part, ToolCallBegun))
        arguments = json.loads("".join(part.text for part in parts if isinstance(part, ToolCallArguments)))
        assert jsonschema_rs.is_valid(parameters if name == "get_weather" else {"type": "object"}, arguments)
