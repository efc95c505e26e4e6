"""Random walks through the grammar of every shape of calls: its parser reads calls, and their arguments are valid."""

import json

import jsonschema_rs
import pytest

from mlxd.errors import InvalidRequestError
from mlxd.types import ReasoningShape, ToolShape
from mlxd.wire.output_spec import Choice, OutputSpec, Tool, ToolRules
from mlxd.wire.parts import Reasoning, Text, ToolCallArguments, ToolCallBegun
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.text.constraints.answer import AnswerConstraints
from mlxd.worker.text.parsers.registry import parser_for
from mlxd.worker.text.shape_rules import Markers
from mlxd.worker.text.shapes import Shapes
from tests.unit.worker_text.constraints.walk import EndlessError, allowed_tokens, tiny_vocabulary, walked_tokens

MARKERS = {
    ToolShape.HERMES: ("<tool_call>", "</tool_call>"),
    ToolShape.JSON: ("<|tool_call|>",),
    ToolShape.QWEN_XML: ("<tool_call>", "</tool_call>"),
    ToolShape.GLM: ("<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
    ToolShape.PYTHONIC: ("<|tool_call_start|>", "<|tool_call_end|>"),
    ToolShape.MISTRAL: ("[TOOL_CALLS]", "[ARGS]"),
    ToolShape.DEEPSEEK: tuple(
        f"<\uff5ctool\u2581{name}\uff5c>" for name in ("calls\u2581begin", "calls\u2581end", "call\u2581begin", "call\u2581end", "sep")
    ),
    ToolShape.KIMI: (
        *("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_begin|>", "<|tool_call_end|>"),
        "<|tool_call_argument_begin|>",
    ),
    ToolShape.GEMMA: ("<|tool_call>", "<tool_call|>", '<|"|>'),
    ToolShape.COHERE: ("<|START_ACTION|>", "<|END_ACTION|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ToolShape.MINIMAX: ("<minimax:tool_call>", "</minimax:tool_call>"),
    ToolShape.LONGCAT: ("<longcat_tool_call>", "</longcat_tool_call>"),
    ToolShape.HARMONY: ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|constrain|>"),
}
CLOSES = {  # of strings that have no quotes
    ToolShape.QWEN_XML: ("</parameter>",),
    ToolShape.MINIMAX: ("</parameter>",),
    ToolShape.GLM: ("</arg_value>",),
    ToolShape.GEMMA: ('<|"|>',),
}
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city"],
}
MIXED = {
    "type": "object",
    "properties": {
        "null_or_text": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "number": {"type": ["integer", "null"], "minimum": 3},
        "list": {
            "type": "array",
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "n": {"type": "number"}}, "required": ["k"]},
        },
        "flag": {"type": "boolean"},
        "referred": {"$ref": "#/$defs/Word"},
        "pattern": {"type": "string", "pattern": "^[a-z]{2,4}$"},
        "length": {"type": "string", "minLength": 2, "maxLength": 6},
        "day": {"type": "string", "format": "date"},
        "whatever": {},
        "listed": {"enum": ["x", 1, None]},
        "constant": {"const": "k"},
        "text_or_object": {"type": ["string", "object"]},
    },
    "required": ["number", "list", "flag", "referred", "pattern", "length", "listed", "constant"],
    "$defs": {"Word": {"enum": ["one", "two two"]}},
}
TOOLS = [
    Tool(name="get_weather", parameters=WEATHER, strict=True),
    Tool(name="no-arguments.at_all", parameters={"type": "object", "properties": {}}),
    Tool(name="anything"),
    Tool(name="mixed", parameters=MIXED),
]


MARK = "\uff5cDSML\uff5c"  # of DeepSeek V3.2
OPENINGS = {ToolShape.HARMONY: "<|channel|>commentary to=functions."}


def opening_of(shape, kind):
    return f"<{MARK}function_calls>" if kind.startswith("dsml") else OPENINGS.get(shape, MARKERS[shape][0])


def closes_of(shape, kind):
    return (f"</{MARK}parameter>",) if kind.startswith("dsml") else CLOSES.get(shape, ())


def kinds_of(shape):
    if shape is ToolShape.DEEPSEEK:
        return ("tokens", "text", "dsml", "dsml text")
    return ("tokens", "text") if shape is not ToolShape.HARMONY else ("tokens",)  # its markers are control tokens, always


CASES = [pytest.param(shape, kind, id=f"{shape}-{kind}") for shape in MARKERS for kind in kinds_of(shape)]


def shapes_of(shape):
    return Shapes(tools=shape, reasoning=ReasoningShape.HARMONY if shape is ToolShape.HARMONY else ReasoningShape.NONE)


@pytest.fixture(scope="module")
def made():
    """The vocabulary and the constraints of a shape, made once."""
    known = {}

    def of(shape, kind, shapes=None):
        if (shape, kind) not in known:
            markers = {"tokens": MARKERS[shape], "text": (), "dsml": (MARK,), "dsml text": (MARK,)}[kind]
            vocabulary = tiny_vocabulary(*markers, special=kind != "dsml text")
            known[shape, kind] = vocabulary, AnswerConstraints(vocabulary, shapes or shapes_of(shape))
        return known[shape, kind]

    return of


def read(tokens, vocabulary, shapes, rules, opening=Opening.NONE):
    """The calls of an answer, its content and its reasoning, and the parser's warnings."""
    parser, held, parts = parser_for(shapes, rules, opening), b"", []
    for token in tokens:
        if token > 255:
            parts += [*parser.push(held.decode()), *parser.control(vocabulary.text(token))]
            held = b""
        else:
            held += bytes([token])
    parts += [*parser.push(held.decode()), *parser.finish()]
    calls = []
    for part in parts:
        if isinstance(part, ToolCallBegun):
            calls.append([part.name, ""])
        elif isinstance(part, ToolCallArguments):
            calls[part.index][1] += part.text
    text = ["".join(part.text for part in parts if isinstance(part, kind)) for kind in (Text, Reasoning)]
    return calls, *text, parser.warnings


def assert_valid(calls):
    for name, arguments in calls:
        tool = next(tool for tool in TOOLS if tool.name == name)
        assert jsonschema_rs.is_valid(tool.parameters or {"type": "object"}, json.loads(arguments)), (name, arguments)


@pytest.mark.parametrize(("shape", "kind"), CASES)
def test_required_calls_are_valid(made, shape, kind):
    vocabulary, constraints = made(shape, kind)
    ended = 0
    for seed in range(10):
        rules = ToolRules(tools=TOOLS, required=True, parallel=seed % 2 == 0)
        constraint = constraints.of(OutputSpec(tools=rules), Opening.NONE)
        try:
            tokens = walked_tokens(constraint, vocabulary, seed=seed, closes=closes_of(shape, kind), most=1_500)
        except EndlessError:
            continue
        calls, content, _, warnings = read(tokens, vocabulary, shapes_of(shape), rules)
        assert calls, vocabulary.tokenizer.decode_str(tokens)
        assert rules.parallel or len(calls) == 1
        assert (content, [*warnings]) == ("", [])
        assert_valid(calls)
        ended += 1
    assert ended > 7


@pytest.mark.parametrize(("shape", "kind"), CASES)
def test_a_named_tool_is_the_only_one(made, shape, kind):
    vocabulary, constraints = made(shape, kind)
    rules = ToolRules(tools=TOOLS[1:2], required=True, parallel=False)
    tokens = walked_tokens(constraints.of(OutputSpec(tools=rules), Opening.NONE), vocabulary, closes=closes_of(shape, kind))
    calls, *_ = read(tokens, vocabulary, shapes_of(shape), rules)
    assert [(name, json.loads(arguments)) for name, arguments in calls] == [(TOOLS[1].name, {})]


@pytest.mark.parametrize(("shape", "kind"), CASES)
def test_strict_tools_are_enforced_behind_the_marker_only(made, shape, kind):
    vocabulary, constraints = made(shape, kind)
    rules = ToolRules(tools=TOOLS)
    constraint = constraints.of(OutputSpec(tools=rules), Opening.NONE)
    if constraint is None:  # nothing marks a call
        assert (shape, kind) in {(ToolShape.JSON, "text"), (ToolShape.PYTHONIC, "text")}
        return
    said = "" if shape is ToolShape.HARMONY else "Hi {é} [1]. "
    begun = vocabulary.tokens(said + opening_of(shape, kind))
    for token in begun:
        assert token in allowed_tokens(constraint, vocabulary)
        constraint.accept(token)
    assert not set(allowed_tokens(constraint, vocabulary)) & vocabulary.ends
    tokens = [*begun, *walked_tokens(constraint, vocabulary, seed=4, closes=closes_of(shape, kind))]
    calls, content, *_ = read(tokens, vocabulary, shapes_of(shape), rules)
    assert calls
    assert content.strip() == said.strip()
    assert_valid(calls)


@pytest.mark.parametrize(("shape", "kind"), CASES)
def test_an_answer_without_calls_is_free(made, shape, kind):
    vocabulary, constraints = made(shape, kind)
    constraint = constraints.of(OutputSpec(tools=ToolRules(tools=TOOLS)), Opening.NONE)
    if constraint is None:
        return
    answer = "<|channel|>final<|message|>No." if shape is ToolShape.HARMONY else 'No: {"name": "x"}, <tool'
    for token in vocabulary.tokens(answer):
        assert token in allowed_tokens(constraint, vocabulary)
        constraint.accept(token)
    assert set(allowed_tokens(constraint, vocabulary)) & vocabulary.ends


def test_other_control_tokens_may_stand_in_free_text(made):
    vocabulary, constraints = made(ToolShape.COHERE, "tokens")
    constraint = constraints.of(OutputSpec(tools=ToolRules(tools=TOOLS)), Opening.NONE)
    for token in vocabulary.tokens("<|START_RESPONSE|>Hi<|END_RESPONSE|>"):
        assert token in allowed_tokens(constraint, vocabulary)
        constraint.accept(token)
    assert {*allowed_tokens(constraint, vocabulary)} >= {*vocabulary.ends, vocabulary.token("<|START_ACTION|>")}


@pytest.mark.parametrize("shape", MARKERS)
def test_without_strict_tools_nothing_is_enforced(made, shape):
    _, constraints = made(shape, "tokens")
    assert constraints.of(OutputSpec(tools=ToolRules(tools=TOOLS[1:])), Opening.NONE) is None


@pytest.mark.parametrize("opening", Opening)
def test_calls_stand_behind_reasoning(opening):
    vocabulary = tiny_vocabulary("<think>", "</think>", *MARKERS[ToolShape.HERMES])
    shapes = Shapes(tools=ToolShape.HERMES, reasoning=ReasoningShape.THINK, thinking=Markers("<think>", "</think>"))
    rules = ToolRules(tools=TOOLS, required=True, parallel=False)
    constraint = AnswerConstraints(vocabulary, shapes).of(OutputSpec(tools=rules, thinking_budget=5), opening)
    tokens = walked_tokens(constraint, vocabulary, seed=2)
    calls, content, reasoning, warnings = read(tokens, vocabulary, shapes, rules, opening)
    assert len(calls) == 1
    assert (content, [*warnings]) == ("", [])
    assert bool(reasoning) is (opening is Opening.REASONING) or opening is Opening.NONE
    assert_valid(calls)


@pytest.mark.parametrize("seed", range(6))
def test_calls_or_what_the_content_must_be(seed):
    vocabulary = tiny_vocabulary(*MARKERS[ToolShape.HERMES])
    rules = ToolRules(tools=TOOLS, parallel=False)
    spec = OutputSpec(tools=rules, constraint=Choice(field="c", choices=["yes"]))
    constraint = AnswerConstraints(vocabulary, shapes_of(ToolShape.HERMES)).of(spec, Opening.NONE)
    assert len(allowed_tokens(constraint, vocabulary)) == 2
    calls, content, *_ = read(walked_tokens(constraint, vocabulary, seed=seed), vocabulary, shapes_of(ToolShape.HERMES), rules)
    assert content == ("" if calls else "yes")
    assert_valid(calls)


UNENFORCEABLE = {"type": "object", "properties": {"a": {"type": "integer", "not": {"const": 1}}}, "required": ["a"]}


def test_a_strict_tool_that_cannot_be_enforced_is_refused_where_it_stands(made):
    _, constraints = made(ToolShape.HERMES, "tokens")
    rules = ToolRules(tools=[Tool(name="f", parameters=UNENFORCEABLE, strict=True)], required=True)
    with pytest.raises(InvalidRequestError) as refused:
        constraints.of(OutputSpec(tools=rules), Opening.NONE)
    assert refused.value.param == "tools/f/parameters/properties/a/not"


def test_of_any_other_tool_what_cannot_be_enforced_is_left_out(made):
    vocabulary, constraints = made(ToolShape.HERMES, "tokens")
    rules = ToolRules(tools=[Tool(name="f", parameters=UNENFORCEABLE)], required=True, parallel=False)
    tokens = walked_tokens(constraints.of(OutputSpec(tools=rules), Opening.NONE), vocabulary)
    calls, *_ = read(tokens, vocabulary, shapes_of(ToolShape.HERMES), rules)
    assert isinstance(json.loads(calls[0][1])["a"], int)


def test_a_model_that_calls_no_tools_is_told_so():
    constraints = AnswerConstraints(tiny_vocabulary(), Shapes())
    with pytest.raises(InvalidRequestError) as refused:
        constraints.of(OutputSpec(tools=ToolRules(tools=TOOLS, required=True)), Opening.NONE)
    assert refused.value.param == "tool_choice"


def test_sixty_tools_are_compiled_once(made, monkeypatch):
    _, constraints = made(ToolShape.HERMES, "tokens")
    tools = [Tool(name=f"tool_{number}", parameters=MIXED | {"description": "d" * 1_000}, strict=True) for number in range(60)]
    spec = OutputSpec(tools=ToolRules(tools=tools, required=True))
    assert constraints.of(spec, Opening.NONE) is not None
    monkeypatch.setattr(type(constraints._compiler), "_made", None)
    assert constraints.of(spec, Opening.NONE) is not None
