"""Schemas made to hurt: each is refused, or compiled, in little time and memory, and the process lives."""

import contextlib
import json
import random
import time
from string import ascii_letters

import pytest

from mlxd.errors import GenerationError, InvalidRequestError
from mlxd.wire.output_spec import JsonSchema, OutputSpec
from mlxd.worker.text.constraints import keywords
from mlxd.worker.text.constraints.compiler import GrammarCompiler
from mlxd.worker.text.constraints.contents import Contents
from mlxd.worker.text.constraints.pointers import Place
from tests.unit.worker_text.constraints.walk import EndlessError, constraint_of, tiny_vocabulary, walked

CONTENTS = Contents(GrammarCompiler(tiny_vocabulary()))
SECONDS = 5.0  # of processor time; each takes a tenth of one, and one that is let through without bounds takes minutes


def nested(levels):
    schema = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def chain(length, made):
    return {"$defs": {f"d{n}": made(f"#/$defs/d{n + 1}") for n in range(length)} | {f"d{length}": {"type": "null"}}, "$ref": "#/$defs/d0"}


def options(groups, each):
    return {"allOf": [{"anyOf": [{"properties": {f"a{group}": {"const": n}}} for n in range(each)]} for group in range(groups)]}


REFUSED = {
    "itself": {"$ref": "#"},
    "each other": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    "without end": {"type": "object", "properties": {"n": {"$ref": "#"}}, "required": ["n"]},
    "a list without end": {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
    "remote": {"$ref": "http://127.0.0.1:1/schema"},
    "file": {"$ref": "file:///etc/passwd"},
    "60 deep": nested(60),
    "500 deep": nested(500),
    "many": {"type": "object", "properties": {f"p{n}": {"type": "integer"} for n in range(20_000)}},
    "many optional": {"type": "object", "properties": {f"p{n}": {"type": "integer"} for n in range(1_000)}},
    "100,000 values": {"enum": [f"value {n}" for n in range(100_000)]},
    "exponential": options(12, 4),
    "more exponential": options(20, 2),
    "5,000 references": chain(5_000, lambda to: {"type": "object", "properties": {"a": {"$ref": to}}}),
    "endless pattern": {"type": "string", "pattern": "(" * 5_000 + "a" + ")" * 5_000},
    "long pattern": {"type": "string", "pattern": "a" * 1_000_000},
    "broken pattern": {"type": "string", "pattern": "((("},
    "look-around": {"type": "string", "pattern": "^(?!x)"},
    "back-reference": {"type": "string", "pattern": "(a)\\1"},
    "costly pattern": {"type": "string", "pattern": "^[a-z]+( [a-z]+)*$", "minLength": 500, "maxLength": 5_000},
    "an automaton of a million states": {"type": "integer", "multipleOf": 999_983},
    "no number": {"type": "number", "minimum": float("inf")},
    "beyond numbers": {"type": "integer", "minimum": 10**400},
    "a great constant": {"const": 10**30},
    "deep constant": {"const": json.loads("[" * 60 + "]" * 60)},
    "a billion items": {"type": "array", "items": True, "minItems": 10**9},
    "patterns that overlap": {"type": "object", "patternProperties": {f"^p{n}": True for n in range(100)}},
    "100,000 names": {"type": "object", "required": [f"n{n}" for n in range(100_000)]},
    "a long text": {"type": "object", "properties": {"a": {"const": "c" * 1_000_000}}},
    "a long name": {"type": "object", "properties": {"n" * 1_000_000: {"type": "null"}}},
    "dots": {"type": "string", "pattern": ".*" * 500 + "x"},
    "endless sizes": {"type": "string", "maxLength": float("inf")},
    "a list": {"items": []} | {"properties": []},
    "nothing": False,
    "no type": {"type": []},
}
BOUNDED = {
    "10,000 values": {"enum": [f"value {n}" for n in range(10_000)]},
    "a million items at most": {"type": "array", "items": {"type": "integer"}, "maxItems": 10**6},
    "a million characters": {"type": "string", "maxLength": 10**6},
    "a thousand names": {
        "type": "object",
        "properties": {f"p{n}": {"type": "null"} for n in range(1_000)},
        "required": [f"p{n}" for n in range(1_000)],
    },
    "as many as can be counted": {"type": "string", "maxLength": 2**53 - 1, "pattern": "^[a-z]+$"},
    "400 references": chain(400, lambda to: {"type": "object", "properties": {"a": {"$ref": to}}}),
    "a tree of 2 to the 60": chain(60, lambda to: {"type": "object", "properties": {"a": {"$ref": to}, "b": {"$ref": to}}}),
    "itself or null": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    "repeated repeats": {"type": "string", "pattern": "^((a{1,100}){1,100}){1,100}$"},
    "an exponential automaton": {"type": "string", "pattern": "^(a|b)*a(a|b){30}$"},
    "patterns and lengths": {"type": "string", "pattern": "^[a-z]*$", "minLength": 100, "maxLength": 1_000},
    "words": {"type": "string", "pattern": "|".join(f"word{n}" for n in range(1_500))},
}


def spec(schema):
    return OutputSpec(constraint=JsonSchema(field="schema", schema=schema))


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name):
    began = time.thread_time()
    with pytest.raises(InvalidRequestError) as refused:
        constraint_of(spec(REFUSED[name]))
    assert time.thread_time() - began < SECONDS
    assert refused.value.param.startswith("schema")


@pytest.mark.parametrize("name", BOUNDED)
def test_it_is_bounded(name):
    began = time.thread_time()
    with contextlib.suppress(EndlessError, GenerationError):  # its answer, at worst
        walked(constraint_of(spec(BOUNDED[name])), most=300)
    assert time.thread_time() - began < SECONDS


def test_a_pattern_whose_cost_shows_behind_some_tokens_is_refused():
    """Within a few words it has become too costly, and would end its answer."""
    words = tiny_vocabulary(*(15 * (one + other) for one in ascii_letters for other in ascii_letters), special=False)
    properties = {"a": {"type": "null"}, "b": {"type": "string", "pattern": "(.{0,1000}){0,1000}"}}
    with pytest.raises(InvalidRequestError, match="too many expressions") as refused:
        constraint_of(spec({"type": "object", "properties": properties, "required": ["a", "b"]}), vocabulary=words)
    assert refused.value.param == "schema/properties/b/pattern"


@pytest.mark.parametrize("seed", range(60))
def test_junk_is_refused_or_compiled(seed):
    """Schemas put together without sense: nothing but a refusal may come of it."""
    chance = random.Random(seed)  # noqa: S311
    with contextlib.suppress(InvalidRequestError):
        constraint_of(spec(_junk(chance, 4)))


_WRONG = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**30,
    float("inf"),
    "",
    "x",
    "#",
    [],
    [1],
    ["a"],
    [None],
    [[]],
    {},
    {"a": 1},
    {"a": None},
    {"": []},
)
_KEYWORDS = (*sorted(keywords.ASKING | keywords.REFUSED.keys()), "$defs", "definitions", "$schema", "$id", "$anchor", "title", "default")


@pytest.mark.parametrize("keyword", _KEYWORDS)
def test_a_wrong_value_is_refused_or_asks_nothing(keyword):
    for value in _WRONG:
        for others in ({}, {"type": "object"}, {"type": ["string", "number"]}, {"properties": {"a": True}, "required": ["a"]}):
            for is_lenient in (False, True):
                with contextlib.suppress(InvalidRequestError):
                    CONTENTS.schema(others | {keyword: value}, Place("schema"), is_lenient=is_lenient)


_WORDS = ("type", "properties", "items", "enum", "const", "anyOf", "allOf", "oneOf", "$ref", "required", "pattern", "minLength", "format")
_MORE = ("minimum", "maximum", "multipleOf", "minItems", "maxItems", "additionalProperties", "prefixItems", "$defs", "patternProperties")


def _junk(chance, depth):
    leaves = (None, True, 0, -1, 1.5, 10**20, "", "object", "array", "#", "#/properties/a", "(", [], {}, ["a"], [1], "integer", "\u0000")
    if depth == 0 or chance.random() < 0.3:
        return chance.choice(leaves)
    if chance.random() < 0.3:
        return [_junk(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {chance.choice((*_WORDS, *_MORE, "a")): _junk(chance, depth - 1) for _ in range(chance.randrange(1, 5))}
