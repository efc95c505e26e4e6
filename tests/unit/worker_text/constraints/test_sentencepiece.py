"""Grammars over vocabularies as Llama 2, Mistral, Gemma and T5 have them: spaces are marked, and bytes without a piece are tokens."""

import json
import re
from types import SimpleNamespace

import jsonschema_rs
import pytest

from mlxd.types import ToolShape
from mlxd.wire.output_spec import Choice, Grammar, JsonObject, JsonSchema, OutputSpec, Regex, ToolRules
from mlxd.wire.parts import Text, ToolCallArguments, ToolCallBegun
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.text.constraints.answer import AnswerConstraints
from mlxd.worker.text.constraints.vocabulary import open_vocabulary
from mlxd.worker.text.detokenizer import Detokenizer
from mlxd.worker.text.parsers.registry import parser_for
from mlxd.worker.text.shapes import Shapes
from tests.support.sentencepiece import BOS, END, KINDS, make_sentencepiece
from tests.unit.worker_text.constraints.random_schemas import random_schema
from tests.unit.worker_text.constraints.test_calls import CLOSES, TOOLS, assert_valid, shapes_of
from tests.unit.worker_text.constraints.walk import EndlessError, allowed_tokens, walked_tokens


class Model:
    """What a worker knows of a model: its vocabulary, and its tokens as text behind a prompt."""

    def __init__(self, kind, *markers, shapes=None):
        self.inner = make_sentencepiece(kind, *markers)
        width = self.inner.get_vocab_size() + 5  # logits are wider than the vocabulary
        self.vocabulary = open_vocabulary(SimpleNamespace(backend_tokenizer=self.inner), width=width, ends=[END])
        self.constraints = AnswerConstraints(self.vocabulary, shapes or Shapes())

    def constraint(self, constraint=None, **spec):
        return self.constraints.of(OutputSpec(constraint=constraint, **spec), Opening.NONE)

    def answer(self, constraint, **how):
        """A random answer, as a client gets it."""
        return self.text(walked_tokens(constraint, self.vocabulary, **how))

    def text(self, tokens):
        prompt = self.inner.encode("Say it as JSON:").ids
        detokenizer = Detokenizer(lambda ids: self.inner.decode(list(ids), skip_special_tokens=False), prompt)
        return "".join([*map(detokenizer.push, tokens), detokenizer.flush()])


@pytest.fixture(params=KINDS, scope="module")
def model(request):
    return Model(request.param)


def test_random_answers_to_random_schemas_are_valid(model):
    valid = 0
    for seed in range(60):
        schema = random_schema(seed)
        try:
            text = model.answer(model.constraint(JsonSchema(field="schema", schema=schema)), seed=seed, most=800)
        except EndlessError:
            continue
        assert jsonschema_rs.is_valid(schema, json.loads(text)), (schema, text)
        valid += 1
    assert valid > 45


@pytest.mark.parametrize("seed", range(4))
def test_an_object_begins_with_its_bracket(model, seed):
    assert isinstance(json.loads(model.answer(model.constraint(JsonObject()), seed=seed)), dict)
    constraint = model.constraint(JsonObject())
    assert all(model.text([token]).startswith("{") for token in allowed_tokens(constraint, model.vocabulary))


@pytest.mark.parametrize("text", ["the city", " 12 yes", "naïve", "中文 😀", "a\nb\tc", "\u2581", "  two"])
def test_a_choice_comes_out_as_it_was_written(model, text):
    assert model.answer(model.constraint(Choice(field="choice", choices=[text, text + "!"]))) in {text, text + "!"}


@pytest.mark.parametrize("pattern", ["[a-z]+ [a-z]+", r"\d{3} yes", "(é|😀){3}", " ?the name", "[^ @]+@[^ @]+"])
def test_a_regular_expression_is_matched(model, pattern):
    for seed in range(4):
        assert re.fullmatch(pattern, model.answer(model.constraint(Regex(field="regex", pattern=pattern)), seed=seed))


def test_a_grammar_is_kept(model):
    grammar = Grammar(field="grammar", syntax="gbnf", text='root ::= "the" (" city" | " name")+ "\\n"')
    assert re.fullmatch("the( city| name)+\n", model.answer(model.constraint(grammar), seed=1))


def test_an_answer_may_go_on_where_a_piece_holds_more_than_one_part(model):
    """Pieces such as '":' and '▁{' are allowed where all of their text is."""
    schema = {"type": "object", "properties": {"name": {"type": "integer"}}, "required": ["name"]}
    constraint = model.constraint(JsonSchema(field="schema", schema=schema))
    tokens = {model.inner.token_to_id(piece) for piece in ("{", '{"')}
    assert tokens <= set(allowed_tokens(constraint, model.vocabulary))
    for piece, following in (('{"', "name"), ("name", '":'), ('":', "12"), ("12", "}")):
        constraint.accept(model.inner.token_to_id(piece))
        assert model.inner.token_to_id(following) in allowed_tokens(constraint, model.vocabulary), following


def test_control_tokens_are_in_no_text(model):
    constraint = model.constraint(JsonSchema(field="s", schema={"type": "string"}))
    constraint.accept(model.inner.token_to_id('"'))
    allowed = set(allowed_tokens(constraint, model.vocabulary))
    assert not allowed & {0, BOS, END}
    assert model.inner.token_to_id("<0xE4>") in allowed  # the first byte of a character
    assert model.inner.token_to_id("<0x0A>") not in allowed
    assert not any(token >= model.inner.get_vocab_size() for token in allowed)


def calls_of(model, tokens, shape, rules, markers):
    """The calls that a parser finds, name and arguments, and what is no call."""
    parser, parts, held = parser_for(shapes_of(shape), rules, Opening.NONE), [], []
    for token in tokens:
        if model.vocabulary.text(token) in markers:
            parts += [*parser.push(model.text(held)), *parser.control(model.vocabulary.text(token))]
            held = []
        else:
            held.append(token)
    parts += [*parser.push(model.text(held)), *parser.finish()]
    calls = [[part.name, ""] for part in parts if isinstance(part, ToolCallBegun)]
    for part in parts:
        if isinstance(part, ToolCallArguments):
            calls[part.index][1] += part.text
    return calls, "".join(part.text for part in parts if isinstance(part, Text))


SHAPES = ((ToolShape.MISTRAL, ("[TOOL_CALLS]",)), (ToolShape.HERMES, ()), (ToolShape.QWEN_XML, ()), (ToolShape.GEMMA, ()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "markers"), SHAPES)
def test_required_calls_are_valid(kind, shape, markers):
    model, rules, ended = Model(kind, *markers, shapes=shapes_of(shape)), ToolRules(tools=TOOLS, required=True), 0
    for seed in range(5):
        constraint = model.constraint(tools=rules)
        try:
            tokens = walked_tokens(constraint, model.vocabulary, seed=seed, closes=CLOSES.get(shape, ()), most=1_500)
        except EndlessError:
            continue
        calls, content = calls_of(model, tokens, shape, rules, markers)
        assert calls
        assert content == ""
        assert_valid(calls)
        ended += 1
    assert ended > 2
