"""The functions that an answer may call, whatever API offers them, and which of them it may or must call."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from mlxd.api.fields.free_json import portable
from mlxd.api.fields.json_text import json_text
from mlxd.api.fields.validation import problem
from mlxd.errors import InvalidRequestError, excerpt
from mlxd.listener.json_text import json_type
from mlxd.wire.output_spec import Tool, ToolRules

MAX_TOOLS = 1024
MAX_TOOLS_SIZE = 4 * 2**20  # bytes, of their JSON
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")
_FUNCTIONS = "<functions>\n<function>{}</function>\n</functions>"
_NO_PARAMETERS = {"type": "object", "properties": {}}

Mode = Literal["none", "auto", "required"]


def function_name(value: object) -> object:
    """Returns the name of a function, for a validator. Raises a problem for a string that no model could call."""
    if isinstance(value, str) and not _NAME.fullmatch(value):
        raise problem(f'must be 1 to 128 letters, digits and ". _ - : /", and begin with none of the last four, not "{excerpt(value)}"')
    return value


def function_parameters(value: object) -> object:
    """Returns the JSON schema of a function's arguments, for a validator. Raises a problem for what is no schema of an object."""
    if not isinstance(value, dict):
        raise problem(f"must be a JSON schema, which is an object, not {json_type(value)}")
    kinds = value.get("type", "object")
    if kinds is not None and "object" not in (kinds if isinstance(kinds, list) else [kinds]):
        raise problem('must be "object": arguments are always one', at=".type")
    return portable(value)


@dataclass(frozen=True)
class ToolChoice:
    """A choice: whether the answer may, must or must not call tools, or calls one of them ``once``. ``names`` are those it may call; None:
    any.
    """

    mode: Mode
    names: tuple[str, ...] | None = None
    once: bool = False


@dataclass(frozen=True, kw_only=True)
class OfferedFunction:
    """A function, and the ``field`` of the request that offers it."""

    field: str
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool = False
    is_deferred: bool = False  # it is not shown from the beginning: the conversation tells of it

    def shown(self) -> dict[str, Any]:
        """Returns the function as templates see it, and models have seen it in training: with all three fields, and no other."""
        function = {"name": self.name, "description": self.description or "", "parameters": self.parameters or _NO_PARAMETERS}
        return {"type": "function", "function": function}

    def told(self) -> str:
        """Returns the function as a conversation tells of one that comes in late, as agents were told of such in training."""
        return _FUNCTIONS.format(json_text(self.shown()["function"]))

    def rule(self) -> Tool:
        """Returns what calls of the function must be like."""
        return Tool(name=self.name, parameters=self.parameters, strict=self.strict)


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What an answer may call: ``functions``, as the ``choice`` in ``choice_field`` says; without ``parallel`` at most one of them."""

    functions: Sequence[OfferedFunction] = ()
    choice: ToolChoice = ToolChoice("auto")
    choice_field: str = "tool_choice"
    parallel: bool = True
    strict_field: str = "function.strict"  # of a function
    parallel_field: str = "parallel_tool_calls"

    def check(self) -> None:
        """Raises ``InvalidRequestError`` where the functions as a whole are not right, or the choice is of another one."""
        known: set[str] = set()
        for function in self.functions:
            if function.name in known:
                field = f"{function.field}.name"
                raise InvalidRequestError(f"{field}: there are two tools of the name {function.name!r}", param=field)
            known.add(function.name)
        if sum(len(msgspec.json.encode(function.shown())) for function in self.functions) > MAX_TOOLS_SIZE:
            raise InvalidRequestError(f"tools may have at most {MAX_TOOLS_SIZE} bytes of JSON in all", param="tools")
        missing = next((name for name in self.choice.names or () if name not in known), None)
        if missing is not None:
            message = f"{self.choice_field} names the function {missing!r}, which is not among the tools"
            raise InvalidRequestError(message, param=self.choice_field)

    def shown(self) -> list[dict[str, Any]]:
        """Returns the functions for the chat template. An answer that must not call any is generated without them: it would write its calls
        as text.
        """
        return [] if self.choice.mode == "none" else [function.shown() for function in self.functions if not function.is_deferred]

    def rules(self) -> ToolRules | None:
        """Returns what the answer may call; None where there are no functions, or none is to be called. ``required`` asks nothing then, and
        one client sends it so.
        """
        names = self.choice.names
        tools = [function.rule() for function in self.functions if names is None or function.name in names]
        if self.choice.mode == "none" or not tools:
            return None
        return ToolRules(tools=tools, required=self.choice.mode == "required", parallel=self.parallel and not self.choice.once)
