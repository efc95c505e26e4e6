"""Calls of tools that clients send back."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from mlxd.api.fields.free_json import portable
from mlxd.api.fields.json_text import json_text
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict, problem
from mlxd.api.openai.leniency import CALL, CALLED_FUNCTION
from mlxd.errors import UnsupportedParameterError
from mlxd.listener.json_text import json_type
from mlxd.types import ToolCall


def _arguments(value: object) -> str:
    """Reads arguments that are JSON text, as they should be, or the object itself, or nothing."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "{}"
    if isinstance(value, dict):
        return json_text(portable(value))
    if not isinstance(value, str):
        raise problem(f"must be a string that holds a JSON object, not {json_type(value)}")
    return value


def _function(value: object) -> object:
    if value == "custom":
        raise problem('"custom" is not supported yet; only calls of type "function" are', error=UnsupportedParameterError)
    return value


class CalledFunction(Strict):
    """What was called, with what."""

    tolerated: ClassVar[Rules] = CALLED_FUNCTION

    name: Annotated[str, Field(min_length=1)]
    arguments: Annotated[str, BeforeValidator(_arguments, json_schema_input_type=str | dict[str, Any] | None)] = "{}"


class PastCall(Strict):
    """A call of an earlier answer."""

    tolerated: ClassVar[Rules] = CALL

    id: str | None = None
    type: Annotated[Literal["function"], BeforeValidator(_function)] | None = None
    function: CalledFunction

    def to_wire(self) -> ToolCall:
        """Returns the call; its id is empty where the client sent none."""
        return ToolCall(id=self.id or "", name=self.function.name, arguments=self.function.arguments)
