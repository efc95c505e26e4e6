"""What content must be: JSON, a regular expression, one of several texts, a grammar."""

import json
import re
from types import SimpleNamespace

import pytest
from tokenizers import normalizers

from mlxd.errors import GenerationError, InvalidRequestError
from mlxd.wire.output_spec import Choice, Grammar, JsonObject, JsonSchema, OutputSpec, Regex
from mlxd.worker.text.constraints.vocabulary import open_vocabulary
from tests.support.tiny_model import EOS, VOCAB, make_tokenizer
from tests.unit.worker_text.constraints.walk import EndlessError, allowed_tokens, constraint_of, fed, tiny_vocabulary, walked

MARKED = tiny_vocabulary("<think>", "<tool_call>", special=False)
PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]}


def content(constraint, vocabulary=None, **walk):
    return walked(constraint_of(OutputSpec(constraint=constraint), vocabulary=vocabulary), vocabulary, **walk)


def schema(value):
    return JsonSchema(field="response_format.json_schema.schema", schema=value)


@pytest.mark.parametrize("seed", range(20))
def test_any_object(seed):
    try:
        assert isinstance(json.loads(content(JsonObject(), seed=seed)), dict)
    except EndlessError:
        pytest.fail("white space, numbers and names are bounded, and this walk hurries")


def test_an_object_has_what_it_lists():
    assert json.loads(content(schema(PERSON))).keys() == {"name", "age"}


@pytest.mark.parametrize("pattern", ["[0-9]{3}-[a-z]+", "^a/b$", "^yes$|^no$", "(?i)ja", "\\d{2}\\n", '"é"'])
def test_a_regular_expression_matches_as_a_whole(pattern):
    text = content(Regex(field="structured_outputs.regex", pattern=pattern))
    assert re.fullmatch(pattern, text)


@pytest.mark.parametrize("seed", range(8))
def test_one_of_several(seed):
    choices = ["a", "ab", 'say "no"', "line\nline", "", "ünï", "back\\slash"]
    assert content(Choice(field="structured_outputs.choice", choices=choices), seed=seed) in choices


@pytest.mark.parametrize("choices", [["<think>"], ["x<tool_call>y"], ["<think>", "b"]])
def test_a_text_may_spell_a_marker(choices):
    assert content(Choice(field="c", choices=choices), MARKED) in choices
    named = {"type": "object", "properties": {choices[0]: {"const": choices[0]}}, "required": [choices[0]]}
    assert json.loads(content(schema(named), MARKED)) == {choices[0]: choices[0]}


@pytest.mark.parametrize(
    ("syntax", "text", "whole"),
    [
        ("lark", 'start: "yes" | "no"', "yes|no"),
        ("lark", 'start: item+\nitem: "- " WORD "\\n"\nWORD: /[a-z]{1,3}/', "(- [a-z]{1,3}\n)+"),
        ("gbnf", 'root ::= "yes" | "no"', "yes|no"),
        ("gbnf", 'root ::= item+\nitem ::= "- " [a-z] "\\n"\n', "(- [a-z]\n)+"),
    ],
)
def test_a_grammar(syntax, text, whole):
    assert re.fullmatch(whole, content(Grammar(field="g", text=text, syntax=syntax)))


def test_white_space_is_bounded():
    constraint, vocabulary = constraint_of(OutputSpec(constraint=schema(PERSON))), tiny_vocabulary()
    fed(constraint, vocabulary, "{\n" + " " * 32)
    assert {vocabulary.text(token) for token in allowed_tokens(constraint)} == {'"'}


def test_every_end_token_ends_it_and_nothing_follows():
    constraint, vocabulary = constraint_of(OutputSpec(constraint=Choice(field="c", choices=["a"]))), tiny_vocabulary()
    fed(constraint, vocabulary, "a")
    assert set(allowed_tokens(constraint)) == vocabulary.ends
    constraint.accept(258)
    assert set(allowed_tokens(constraint)) == vocabulary.ends


def test_a_mask_is_as_long_as_the_logits_are_wide():
    wide = tiny_vocabulary(width=1_000)
    mask = constraint_of(OutputSpec(constraint=JsonObject()), vocabulary=wide).allowed()
    assert len(mask) == 4 * 32
    assert int.from_bytes(mask, "little").bit_length() <= 259


def test_a_token_that_is_not_allowed_fails_its_answer():
    constraint = constraint_of(OutputSpec(constraint=JsonObject()))
    with pytest.raises(GenerationError, match="grammar"):
        constraint.accept(ord("x"))
    with pytest.raises(GenerationError, match="grammar"):
        constraint.allowed()


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"type": "object", "properties": {"a": {"not": {"type": "string"}}}}, "/properties/a/not"),
        ({"properties": {"a/b": {"items": {"uniqueItems": True}}}}, "/properties/a~1b/items/uniqueItems"),
        ({"anyOf": [{"type": "string"}, {"if": {}, "then": {}}]}, "/anyOf/1/if"),
        ({"$defs": {"A": {"contains": {}}}, "$ref": "#/$defs/A"}, "/$defs/A/contains"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)y"}}}, "/properties/a/pattern"),
        ({"properties": {"a": {"$ref": "https://example.com/x.json"}}}, "/properties/a/$ref"),
        ({"properties": {"a": {"$ref": "#/$defs/Missing"}}}, "/properties/a/$ref"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "/oneOf"),
        ({"items": {"type": "strnig"}}, "/items/type"),
        ({"items": {"minLength": -1}}, "/items/minLength"),
        ({"properties": {"a": 1}}, "/properties/a"),
        ({"required": "a"}, "/required"),
        ({"propertyNames": {"pattern": "^a"}}, "/propertyNames"),
        ({"dependentRequired": {"a": ["b"]}}, "/dependentRequired"),
        ({"unevaluatedProperties": False}, "/unevaluatedProperties"),
        ({"type": "object", "minProperties": 3}, "/minProperties"),
        ({"enum": []}, "/enum"),
        ({"type": "integer", "multipleOf": 0}, "/multipleOf"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, ""),
        (False, ""),
    ],
)
def test_what_cannot_be_enforced_is_refused_where_it_stands(value, pointer):
    with pytest.raises(InvalidRequestError) as refused:
        content(schema(value))
    assert refused.value.param == f"response_format.json_schema.schema{pointer}"


@pytest.mark.parametrize(
    "constraint",
    [
        Regex(field="f", pattern=""),
        Regex(field="f", pattern="("),
        Regex(field="f", pattern="(?<=a)b"),
        Regex(field="f", pattern="a" * 100_000),
        Choice(field="f", choices=[]),
        Grammar(field="f", text="", syntax="lark"),
        Grammar(field="f", text="start: missing", syntax="lark"),
        Grammar(field="f", text="start: (((", syntax="lark"),
        Grammar(field="f", text='root ::= ("a"', syntax="gbnf"),
        Grammar(field="f", text="start: a0\n" + "\n".join(f"a{n}: a{n + 1}" for n in range(9_000)) + '\na9000: "x"', syntax="lark"),
        Grammar(field="f", text="start: " + "(" * 40_000 + '"a"' + ")" * 40_000, syntax="lark"),
    ],
)
def test_what_is_no_expression_or_grammar_is_refused(constraint):
    with pytest.raises(InvalidRequestError) as refused:
        content(constraint)
    assert refused.value.param == "f"


@pytest.mark.parametrize("text", ["cafe\u0301", "\u1112\u1161\u11ab", "\ufb01", "plain"])
@pytest.mark.parametrize("normalizer", [normalizers.NFC(), normalizers.NFKC(), normalizers.Lowercase()])
def test_a_text_that_the_tokenizer_would_change_is_written_as_it_was_asked_for(text, normalizer):
    """Qwen's tokenizers compose accents: the tokens of such a text are another text's, which no grammar lets pass."""
    inner = make_tokenizer()
    inner.normalizer = normalizer
    vocabulary = open_vocabulary(SimpleNamespace(backend_tokenizer=inner), width=VOCAB, ends=[EOS])
    wanted = schema({"type": "object", "properties": {text: {"const": text}}, "required": [text]})
    assert json.loads(content(wanted, vocabulary)) == {text: text}
