"""The fields that say what all of an answer must be: OpenAI's ``response_format``, and the spellings of vLLM and llama.cpp."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from mlxd.api.fields.generation import AskedConstraint
from mlxd.api.fields.json_schemas import Schema
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict, nothing_if_empty
from mlxd.api.openai.leniency import NAMED_SCHEMA, STRUCTURED_OUTPUTS
from mlxd.errors import InvalidRequestError
from mlxd.wire.output_spec import Choice, Constraint, Grammar, JsonObject, JsonSchema, Regex

_AnySchema = dict[str, Any] | bool

_MAX_CHOICES = 10_000
_GBNF_RULE = re.compile(r"^\s*[\w-]+\s*::=", re.MULTILINE)


_Text = Annotated[str, Field(min_length=1)]
_Choices = Annotated[list[str], Field(min_length=1, max_length=_MAX_CHOICES)]


class NamedSchema(Strict):
    """OpenAI's ``json_schema``. Name and description are for people; every answer is valid, whether or not ``strict`` asks for it."""

    tolerated: ClassVar[Rules] = NAMED_SCHEMA

    schema_: Schema = Field(None, alias="schema")


class ResponseFormat(Strict):
    """OpenAI's ``response_format``; a ``schema`` beside the type is how llama.cpp and others write it."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None
    schema_: Schema | None = Field(None, alias="schema")

    def constraint(self) -> Constraint | None:
        """Returns what the format asks for; None where any text will do. Raises ``InvalidRequestError`` where a schema is missing."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return JsonObject() if self.schema_ is None else JsonSchema(field="response_format.schema", schema=self.schema_)
        if self.json_schema is not None:
            inner = self.json_schema.schema_
            return JsonObject() if inner is None else JsonSchema(field="response_format.json_schema.schema", schema=inner)
        if self.schema_ is not None:
            return JsonSchema(field="response_format.schema", schema=self.schema_)
        raise InvalidRequestError(
            'response_format.json_schema is required with the type "json_schema"', param="response_format.json_schema"
        )


class StructuredOutputs(Strict):
    """vLLM's ``structured_outputs``, of which one field says what the answer must be."""

    tolerated: ClassVar[Rules] = STRUCTURED_OUTPUTS

    json_: Schema | None = Field(None, alias="json")
    json_object: bool | None = None
    regex: _Text | None = None
    choice: _Choices | None = None
    grammar: _Text | None = None

    def constraints(self) -> list[Constraint | None]:
        """Returns what each field asks for."""
        return [
            _json(self.json_, "structured_outputs.json"),
            JsonObject() if self.json_object else None,
            _regex(self.regex, "structured_outputs.regex"),
            _choice(self.choice, "structured_outputs.choice"),
            _grammar(self.grammar, "structured_outputs.grammar"),
        ]


class ConstraintFields(Strict):
    """The fields that say what an answer must be. At most one of them may."""

    response_format: Annotated[ResponseFormat | None, BeforeValidator(nothing_if_empty)] = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: Schema | None = None
    guided_regex: _Text | None = None
    guided_choice: _Choices | None = None
    guided_grammar: _Text | None = None
    json_schema: Schema | None = None
    grammar: str | None = None  # front ends send an empty one

    def constraint(self) -> AskedConstraint | None:
        """Returns what all of the answer must be; None where it may be anything. Raises ``InvalidRequestError`` where two fields say so."""
        found = [asked for asked in self._asked() if asked is not None]
        if len(found) > 1:
            first, second = found[0].field, found[1].field
            raise InvalidRequestError(f"{first} and {second} both say what the answer must be; give one of them", param=second)
        return found[0] if found else None

    def _asked(self) -> Iterator[AskedConstraint | None]:
        if self.response_format is not None:
            yield _under("response_format", self.response_format.constraint())
        if self.structured_outputs is not None:
            yield from (_under("structured_outputs", one) for one in self.structured_outputs.constraints())
        yield _under("guided_json", _json(self.guided_json, "guided_json"))
        yield _under("guided_regex", _regex(self.guided_regex, "guided_regex"))
        yield _under("guided_choice", _choice(self.guided_choice, "guided_choice"))
        yield _under("guided_grammar", _grammar(self.guided_grammar, "guided_grammar"))
        yield _under("json_schema", _json(self.json_schema, "json_schema"))
        yield _under("grammar", _grammar(self.grammar or None, "grammar"))


def _under(field: str, constraint: Constraint | None) -> AskedConstraint | None:
    return None if constraint is None else AskedConstraint(getattr(constraint, "field", field), constraint)


def _json(schema: _AnySchema | None, field: str) -> Constraint | None:
    return None if schema is None else JsonSchema(field=field, schema=schema)


def _regex(pattern: str | None, field: str) -> Constraint | None:
    return None if pattern is None else Regex(field=field, pattern=pattern)


def _choice(choices: list[str] | None, field: str) -> Constraint | None:
    return None if choices is None else Choice(field=field, choices=choices)


def _grammar(text: str | None, field: str) -> Constraint | None:
    return None if text is None else Grammar(field=field, text=text, syntax="gbnf" if _GBNF_RULE.search(text) else "lark")
