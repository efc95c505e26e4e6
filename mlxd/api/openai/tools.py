"""The tools that an answer may call: ``tools`` and ``tool_choice``, and the older ``functions`` and ``function_call``."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import BeforeValidator, Field

from mlxd.api.openai.free_json import portable
from mlxd.api.openai.leniency import FUNCTION, TOOL, Rules
from mlxd.api.openai.tool_choice import Choice, ToolChoice
from mlxd.api.openai.validation import Strict, problem
from mlxd.errors import InvalidRequestError, UnsupportedParameterError, excerpt
from mlxd.listener.json_text import json_type
from mlxd.wire.output_spec import Tool, ToolRules

MAX_TOOLS = 1024
MAX_TOOLS_SIZE = 4 * 2**20  # bytes, of their JSON
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")
_NO_PARAMETERS = {"type": "object", "properties": {}}


def _name(value: object) -> object:
    if isinstance(value, str) and not _NAME.fullmatch(value):
        raise problem(f'must be 1 to 128 letters, digits and ". _ - : /", and begin with none of the last four, not "{excerpt(value)}"')
    return value


def _parameters(value: object) -> object:
    if not isinstance(value, dict):
        raise problem(f"must be a JSON schema, which is an object, not {json_type(value)}")
    kinds = value.get("type", "object")
    if kinds is not None and "object" not in (kinds if isinstance(kinds, list) else [kinds]):
        raise problem('must be "object": arguments are always one', at=".type")
    return portable(value)


class FunctionTool(Strict):
    """A function: its name, what it is for, and the JSON schema of its arguments."""

    tolerated: ClassVar[Rules] = FUNCTION

    name: Annotated[str, BeforeValidator(_name)]
    description: str | None = None
    parameters: Annotated[dict[str, Any], BeforeValidator(_parameters)] | None = None
    strict: bool | None = None

    def shown(self) -> dict[str, Any]:
        """Returns the tool as templates see it, and models have seen it in training: with all three fields, and no other."""
        function = {"name": self.name, "description": self.description or "", "parameters": self.parameters or _NO_PARAMETERS}
        return {"type": "function", "function": function}

    def rule(self) -> Tool:
        """Returns what calls of the tool must be like."""
        return Tool(name=self.name, parameters=self.parameters, strict=bool(self.strict))


def _of_known_kind(value: object) -> object:
    """Looks at the type of a tool before its other fields, which each kind has of its own. The Responses API writes a function's fields
    beside it.
    """
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in (None, "function"):
        shown = f'"{excerpt(kind)}"' if isinstance(kind, str) else json_type(kind)
        raise problem(f'must be "function": {shown} is not supported', at=".type", error=UnsupportedParameterError)
    if isinstance(value, dict) and "name" in value and "function" not in value:
        return {"type": "function", "function": {name: inner for name, inner in value.items() if name != "type"}}
    return value


class OfferedTool(Strict):
    """A tool; a function is the only kind that clients carry out themselves."""

    tolerated: ClassVar[Rules] = TOOL

    type: Literal["function"] | None = None
    function: FunctionTool
    strict: bool | None = None  # some write it here

    @property
    def effective(self) -> FunctionTool:
        """Returns the function, strict where either place says so."""
        return self.function.model_copy(update={"strict": True}) if self.strict else self.function


class ToolFields(Strict):
    """The fields about tools. ``functions`` and ``function_call`` are what they were called before there were tools of other kinds."""

    tools: Annotated[list[Annotated[OfferedTool, BeforeValidator(_of_known_kind)]], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)] | None = None
    function_call: Choice | None = None

    @property
    def by_old_names(self) -> bool:
        """Tells whether the client knows calls by their old name only."""
        return bool(self.functions)

    @property
    def choice(self) -> ToolChoice:
        """Returns which tools the answer may, or must, call."""
        return self.tool_choice or self.function_call or ToolChoice("auto")

    def check_tools(self) -> None:
        """Raises ``InvalidRequestError`` where the tools as a whole are not right."""
        if self.tools and self.functions:
            raise InvalidRequestError("tools and functions say the same; give one of them", param="functions")
        if self.tool_choice is not None and self.function_call not in (None, self.tool_choice) and (self.tools or self.functions):
            raise InvalidRequestError("tool_choice and function_call differ; give one of them", param="function_call")
        self._check_names()
        if sum(len(msgspec.json.encode(tool.shown())) for _, tool in self._offered()) > MAX_TOOLS_SIZE:
            raise InvalidRequestError(f"tools may have at most {MAX_TOOLS_SIZE} bytes of JSON in all", param="tools")
        offered = {tool.name for _, tool in self._offered()}
        missing = next((name for name in self.choice.names or () if name not in offered), None)
        if missing is not None:
            field = "function_call" if self.tool_choice is None else "tool_choice"
            raise InvalidRequestError(f"{field} names the function {missing!r}, which is not among the tools", param=field)

    def shown_tools(self) -> list[dict[str, Any]]:
        """Returns the tools for the chat template. An answer that must not call any is generated without them: it would write its calls as
        text.
        """
        return [] if self.choice.mode == "none" else [tool.shown() for _, tool in self._offered()]

    def tool_rules(self) -> ToolRules | None:
        """Returns what the answer may call; None where there are no tools, or none is to be called. ``required`` asks nothing then, and
        one client sends it so.
        """
        choice = self.choice
        tools = [tool.rule() for _, tool in self._offered() if choice.names is None or tool.name in choice.names]
        if choice.mode == "none" or not tools:
            return None
        is_one = choice.once or self.by_old_names or self.parallel_tool_calls is False
        return ToolRules(tools=tools, required=choice.mode == "required", parallel=not is_one)

    def _offered(self) -> Iterator[tuple[str, FunctionTool]]:
        """Yields the tools, each with its field."""
        for index, tool in enumerate(self.tools or ()):
            yield f"tools[{index}].function", tool.effective
        for index, function in enumerate(self.functions or ()):
            yield f"functions[{index}]", function

    def _check_names(self) -> None:
        known: set[str] = set()
        for field, tool in self._offered():
            if tool.name in known:
                raise InvalidRequestError(f"{field}.name: there are two tools of the name {tool.name!r}", param=f"{field}.name")
            known.add(tool.name)
