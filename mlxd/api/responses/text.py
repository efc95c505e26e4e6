"""``text``: what all of an answer's text must be."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from mlxd.api.fields.generation import AskedConstraint
from mlxd.api.fields.json_schemas import Schema
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict, nothing_if_empty
from mlxd.api.responses.leniency import FORMAT
from mlxd.errors import InvalidRequestError
from mlxd.wire.output_spec import JsonObject, JsonSchema

_SCHEMA = "text.format.schema"


class NamedSchema(Strict):
    """A schema as chats write it, below its name."""

    tolerated: ClassVar[Rules] = FORMAT

    schema_: Schema | None = Field(None, alias="schema")


class TextFormat(Strict):
    """The format of a text."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    schema_: Schema | None = Field(None, alias="schema")
    json_schema: NamedSchema | None = None

    @property
    def schema_asked(self) -> Any:
        """Returns the schema, wherever it is written; None where there is none."""
        return self.schema_ if self.json_schema is None or self.schema_ is not None else self.json_schema.schema_

    def constraint(self) -> AskedConstraint | None:
        """Returns what the format asks for; None where any text will do. Raises ``InvalidRequestError`` where a schema is missing."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return AskedConstraint("text.format", JsonObject())
        if self.schema_asked is None:
            raise InvalidRequestError(f'{_SCHEMA} is required with the type "json_schema"', param=_SCHEMA)
        return AskedConstraint(_SCHEMA, JsonSchema(field=_SCHEMA, schema=self.schema_asked))

    def sent_back(self) -> dict[str, Any]:
        """Returns the format as the answer repeats it."""
        if self.type != "json_schema":
            return {"type": self.type}
        return {
            "type": self.type,
            "name": self.name or "answer",
            "description": self.description,
            "schema": _as_object(self.schema_asked),
            "strict": bool(self.strict),
        }


def _as_object(schema: Any) -> Any:
    """Returns a schema as OpenAI writes all: true allows anything, and false nothing."""
    return {True: {}, False: {"not": {}}}[schema] if isinstance(schema, bool) else schema


class TextSettings(Strict):
    """What is asked of a text. No model here is told of ``verbosity``, which is a wish."""

    format: Annotated[TextFormat | None, BeforeValidator(nothing_if_empty)] = None
    verbosity: Literal["low", "medium", "high"] | None = None

    def constraint(self) -> AskedConstraint | None:
        """Returns what all of the text must be. Raises as ``TextFormat.constraint``."""
        return None if self.format is None else self.format.constraint()

    def sent_back(self) -> dict[str, Any]:
        """Returns the settings as the answer repeats them."""
        return {"format": {"type": "text"} if self.format is None else self.format.sent_back(), "verbosity": self.verbosity or "medium"}
