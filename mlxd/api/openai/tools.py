"""The tools that an answer may call: ``tools`` and ``tool_choice``, and the older ``functions`` and ``function_call``."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from mlxd.api.fields.functions import MAX_TOOLS, Offer, OfferedFunction, ToolChoice, function_name, function_parameters
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict, problem, quoted
from mlxd.api.openai.leniency import FUNCTION, TOOL
from mlxd.api.openai.tool_choice import Choice
from mlxd.errors import InvalidRequestError, UnsupportedParameterError


class FunctionTool(Strict):
    """A function: its name, what it is for, and the JSON schema of its arguments."""

    tolerated: ClassVar[Rules] = FUNCTION

    name: Annotated[str, BeforeValidator(function_name)]
    description: str | None = None
    parameters: Annotated[dict[str, Any], BeforeValidator(function_parameters)] | None = None
    strict: bool | None = None

    def offered(self, field: str, *, is_strict: bool = False) -> OfferedFunction:
        """Returns the function, which is strict where it says so itself, or whoever offers it does."""
        return OfferedFunction(
            field=field,
            name=self.name,
            description=self.description,
            parameters=self.parameters,
            strict=bool(self.strict) or is_strict,
        )


def _of_known_kind(value: object) -> object:
    """Looks at the type of a tool before its other fields, which each kind has of its own. The Responses API writes a function's fields
    beside it.
    """
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in (None, "function"):
        raise problem(f'must be "function": {quoted(kind)} is not supported', at=".type", error=UnsupportedParameterError)
    if isinstance(value, dict) and "name" in value and "function" not in value:
        return {"type": "function", "function": {name: inner for name, inner in value.items() if name != "type"}}
    return value


class OfferedTool(Strict):
    """A tool; a function is the only kind that clients carry out themselves."""

    tolerated: ClassVar[Rules] = TOOL

    type: Literal["function"] | None = None
    function: FunctionTool
    strict: bool | None = None  # some write it here


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

    def offer(self) -> Offer:
        """Returns what the answer may call."""
        return Offer(
            functions=list(self._offered()),
            choice=self.choice,
            choice_field="function_call" if self.tool_choice is None and self.function_call is not None else "tool_choice",
            parallel=not self.by_old_names and self.parallel_tool_calls is not False,
        )

    def check_tools(self) -> None:
        """Raises ``InvalidRequestError`` where the tools as a whole are not right."""
        if self.tools and self.functions:
            raise InvalidRequestError("tools and functions say the same; give one of them", param="functions")
        if self.tool_choice is not None and self.function_call not in (None, self.tool_choice) and (self.tools or self.functions):
            raise InvalidRequestError("tool_choice and function_call differ; give one of them", param="function_call")
        self.offer().check()

    def _offered(self) -> Iterator[OfferedFunction]:
        for index, tool in enumerate(self.tools or ()):
            yield tool.function.offered(f"tools[{index}].function", is_strict=bool(tool.strict))
        for index, function in enumerate(self.functions or ()):
            yield function.offered(f"functions[{index}]")
