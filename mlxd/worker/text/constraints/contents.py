"""What all of an answer's content must be, as a request asks, as the rule of a grammar."""

import re
from typing import Any

from llguidance import regex_to_lark
from llguidance.gbnf_to_lark import gbnf_to_lark

from mlxd.wire.output_spec import Choice, Constraint, Grammar, JsonObject, JsonSchema, Regex
from mlxd.worker.text.constraints.compiler import GrammarCompiler, GrammarError
from mlxd.worker.text.constraints.finite import has_finite_values
from mlxd.worker.text.constraints.grammar import Rule, json_rule
from mlxd.worker.text.constraints.json_schema import ANY_OBJECT, ReadSchema, SchemaReader
from mlxd.worker.text.constraints.pointers import Place
from mlxd.worker.text.constraints.vocabulary import quoted

_LONGEST_REGEX = 20_000  # characters
_LONGEST_GRAMMAR = 100_000
_MOST_RULES = 500  # of a grammar: the library follows names by recursion, and a chain of thousands ends the process
_DEFINITION = re.compile(r"(?m)::?=|^[ \t]*[?!]*[A-Za-z_][\w-]*(?:\.-?\d+|\[[^\]\n]*\]|::\w+)*\s*:")
_REPEATS = re.compile(r"[*+?}][^(]*\)[*+{]")
_MOST_CHOICES = 10_000
_LONGEST_CHOICES = 500_000  # characters of all of them
_MOST_TRIES = 300  # parts of a schema that are looked through for a fault


class Contents:
    """A reader of constraints. Whatever cannot be enforced raises ``InvalidRequestError`` that names the field, and points into it."""

    def __init__(self, compiler: GrammarCompiler) -> None:
        self._compiler = compiler

    def rule(self, constraint: Constraint) -> Rule:
        """Returns the rule of what a request asks for."""
        match constraint:
            case JsonObject():
                return json_rule(ANY_OBJECT)
            case JsonSchema(field=field, schema=schema):
                return json_rule(self.schema(schema, Place(field)).standing_alone())
            case Regex(field=field, pattern=pattern):
                return self._checked(_regex(pattern, Place(field)), Place(field))
            case Choice(field=field, choices=choices):
                return self._checked(_choice(choices, Place(field)), Place(field))
            case Grammar(field=field):
                return self._checked(_grammar(constraint, Place(field)), Place(field))

    def schema(self, document: Any, place: Place, *, is_lenient: bool = False) -> ReadSchema:
        """Returns a schema that surely can be compiled."""
        read = SchemaReader(document, place, is_lenient=is_lenient).read()
        if not has_finite_values(read):
            raise place.refusal("no JSON of finite length is valid against this schema")
        try:
            self._compiler.check(json_rule(read.standing_alone()))
        except GrammarError as error:
            raise self._located(read, place, error) from error
        self._check_repeats(read)
        return read

    def _check_repeats(self, read: ReadSchema) -> None:
        """Tries out each pattern that repeats what repeats itself: trying out all of a schema may end before it."""
        for place, part in read.parts:
            if isinstance(part, dict) and _REPEATS.search(part.get("pattern", "")):
                try:
                    self._compiler.check(json_rule(read.standing_alone(part)))
                except GrammarError as error:
                    raise (place / "pattern").refusal(f"it cannot be enforced: {error}") from error

    def _located(self, read: ReadSchema, place: Place, error: GrammarError) -> Exception:
        """Returns the refusal of a schema, which points at the innermost part that cannot be compiled alone."""
        for inner, part in read.parts[:_MOST_TRIES]:
            try:
                self._compiler.check(json_rule(read.standing_alone(part)))
            except GrammarError as its_error:
                if isinstance(part, dict):
                    is_pattern = "pattern" in part and "regex" in str(its_error)
                    return (inner / "pattern" if is_pattern else inner).refusal(f"it cannot be enforced: {its_error}")
        return place.refusal(f"it cannot be enforced: {error}")

    def _checked(self, rule: Rule, place: Place) -> Rule:
        try:
            self._compiler.check(rule)
        except GrammarError as error:
            raise place.refusal(f"it cannot be enforced: {error}") from error
        return rule


def _regex(pattern: str, place: Place) -> Rule:
    if not pattern or len(pattern) > _LONGEST_REGEX:
        raise place.refusal(f"it must be a regular expression of 1 to {_LONGEST_REGEX} characters")
    return Rule("REGEX", {"REGEX": f"/{regex_to_lark(pattern)}/"})


def _choice(choices: list[str], place: Place) -> Rule:
    if not choices or len(choices) > _MOST_CHOICES or sum(map(len, choices)) > _LONGEST_CHOICES:
        raise place.refusal(f"it must be 1 to {_MOST_CHOICES} texts, of {_LONGEST_CHOICES} characters together at most")
    return Rule("CHOICE", {"CHOICE": " | ".join(quoted(choice) for choice in dict.fromkeys(choices))})


def _grammar(grammar: Grammar, place: Place) -> Rule:
    _check_size(grammar.text, place)
    text = grammar.text
    if grammar.syntax == "gbnf":
        try:
            text = str(gbnf_to_lark(text))
        except Exception as error:
            raise place.refusal(f"it is no GBNF: {error}") from error
        _check_size(text, place)
    return Rule("@content", {}, {"content": text})


def _check_size(text: str, place: Place) -> None:
    if not text.strip() or len(text) > _LONGEST_GRAMMAR:
        raise place.refusal(f"it must be a grammar of 1 to {_LONGEST_GRAMMAR} characters")
    if len(_DEFINITION.findall(text)) > _MOST_RULES:
        raise place.refusal(f"it has more than {_MOST_RULES} rules")
