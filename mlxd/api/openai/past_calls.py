"""Calls of tools in a conversation so far: as clients send them back, and as a chat template wants them.

Each call gets an id where it has none, and each result the id and the name of its call, so that every template can tell which is whose.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import msgspec
from pydantic import BeforeValidator, Field

from mlxd.api.openai.free_json import portable
from mlxd.api.openai.leniency import CALL, CALLED_FUNCTION, Rules
from mlxd.api.openai.validation import Strict, problem
from mlxd.errors import UnsupportedParameterError
from mlxd.listener.json_text import json_type
from mlxd.types import ToolCall

MAX_CALLS = 1024  # of one message


def _arguments(value: object) -> str:
    """Reads arguments that are JSON text, as they should be, or the object itself, or nothing."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "{}"
    if isinstance(value, dict):
        return msgspec.json.encode(portable(value)).decode()
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
    arguments: Annotated[str, BeforeValidator(_arguments)] = "{}"


class PastCall(Strict):
    """A call of an earlier answer."""

    tolerated: ClassVar[Rules] = CALL

    id: str | None = None
    type: Annotated[Literal["function"], BeforeValidator(_function)] | None = None
    function: CalledFunction


class OpenCalls:
    """The calls that were made last, for the results that follow. ``turn`` in an id is the place of the message that made the call."""

    def __init__(self) -> None:
        self._open: list[ToolCall] = []
        self._known: dict[str, ToolCall] = {}

    def made(self, calls: Sequence[PastCall], turn: int) -> list[ToolCall]:
        """Returns the calls as a template sees them."""
        self._open = [
            ToolCall(id=call.id or f"call_{turn}_{number}", name=call.function.name, arguments=call.function.arguments)
            for number, call in enumerate(calls)
        ]
        self._known |= {call.id: call for call in self._open}
        return self._open

    def answered(self, identity: str | None, name: str | None) -> ToolCall | None:
        """Returns the call whose result it is: that with the id, or else the first without a result, of this name if there is one; None
        where nothing was called.
        """
        found = self._known.get(identity) if identity else self._next(name)
        if found is not None:
            self._open = [call for call in self._open if call is not found]
        return found

    def _next(self, name: str | None) -> ToolCall | None:
        named = [call for call in self._open if call.name == name]
        return next(iter(named or self._open), None)
