"""The tools that an answer may call: ``tools`` and ``tool_choice``.

A tool is offered where the client carries it out: with its own schema, or, of those whose schema is known to all, with that
(``client_tools.py``). What a provider's servers would carry out is left out, and the answer's warnings tell of it.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, InstanceOf

from mlxd.api.anthropic.client_tools import client_tool
from mlxd.api.anthropic.leniency import TOOL
from mlxd.api.fields.free_json import portable
from mlxd.api.fields.functions import MAX_TOOLS, Mode, Offer, OfferedFunction, ToolChoice, function_name, function_parameters
from mlxd.api.fields.json_text import json_text
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict, problem
from mlxd.errors import excerpt
from mlxd.listener.json_text import json_type

_SEARCHES = "tool_search_"
_MODES: dict[str, Mode] = {"auto": "auto", "any": "required", "tool": "required", "none": "none"}


class CustomTool(Strict):
    """A tool with a schema of its own."""

    tolerated: ClassVar[Rules] = TOOL

    type: str | None = None
    name: Annotated[str, BeforeValidator(function_name)]
    description: str | None = None
    input_schema: Annotated[dict[str, Any], BeforeValidator(function_parameters)]
    input_examples: Annotated[list[dict[str, Any]], BeforeValidator(portable)] | None = None
    strict: bool | None = None
    defer_loading: bool | None = None

    def offered(self, field: str) -> OfferedFunction:
        """Returns the function. Examples of its input are told with its description."""
        told = [f"Example: {json_text(example)}" for example in self.input_examples or ()]
        return OfferedFunction(
            field=field,
            name=self.name,
            description="\n\n".join([*filter(None, [self.description]), *told]),
            parameters=self.input_schema,
            strict=bool(self.strict),
            is_deferred=bool(self.defer_loading),
        )


class ProvidedTool(Strict):
    """A tool that the type says everything about. Its other fields limit what a provider does."""

    model_config = Strict.model_config | {"extra": "ignore"}

    type: str
    name: str | None = None

    @property
    def shown_name(self) -> str:
        """Returns what people know it by."""
        return excerpt(self.name or self.type)

    def offered(self, field: str) -> OfferedFunction | None:
        """Returns the function, where the client carries it out."""
        known = client_tool(self.type)
        if known is None or self.name is None:
            return None
        return OfferedFunction(field=field, name=self.name, description=known.description, parameters=known.parameters)


def read_tool(value: object) -> CustomTool | ProvidedTool:
    """Reads a tool, for a validator: one with a schema of its own, or one whose type says everything."""
    if not isinstance(value, dict):
        raise problem(f"must be an object, not {json_type(value)}")
    kind = value.get("type")
    if kind not in (None, "custom") and "input_schema" not in value:
        return ProvidedTool.model_validate(value)
    return CustomTool.model_validate(value)


class AskedChoice(Strict):
    """Whether the answer calls tools, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None

    def choice(self) -> ToolChoice:
        """Returns the choice; a tool that is named is called once."""
        if self.type == "tool" and self.name is not None:
            return ToolChoice("required", (self.name,), once=True)
        return ToolChoice(_MODES[self.type])


def _named(value: object) -> object:
    if isinstance(value, dict) and value.get("type") == "tool" and "name" not in value:
        raise problem("is required: the name of a tool", at=".name")
    return value


class ToolFields(Strict):
    """The fields about tools."""

    tools: (
        Annotated[
            list[Annotated[InstanceOf[CustomTool] | InstanceOf[ProvidedTool], BeforeValidator(read_tool)]], Field(max_length=MAX_TOOLS)
        ]
        | None
    ) = None
    tool_choice: Annotated[AskedChoice, BeforeValidator(_named)] | None = None

    def offer(self) -> Offer:
        """Returns what the answer may call."""
        asked = self.tool_choice or AskedChoice(type="auto")
        functions = list(self._offered())
        if self._is_searched_elsewhere() or all(function.is_deferred for function in functions):
            functions = [replace(function, is_deferred=False) for function in functions]
        return Offer(
            functions=functions,
            choice=asked.choice(),
            parallel=not asked.disable_parallel_tool_use,
            strict_field="tools.strict",
            parallel_field="tool_choice.disable_parallel_tool_use",
        )

    def left_out(self) -> list[str]:
        """Returns the names of tools that a provider would carry out."""
        return [tool.shown_name for tool in self.tools or () if isinstance(tool, ProvidedTool) and tool.offered("") is None]

    def _is_searched_elsewhere(self) -> bool:
        """Tells whether a provider's servers would look for the tools that are not shown from the beginning."""
        return any(isinstance(tool, ProvidedTool) and tool.type.startswith(_SEARCHES) for tool in self.tools or ())

    def _offered(self) -> Iterator[OfferedFunction]:
        for index, tool in enumerate(self.tools or ()):
            offered = tool.offered(f"tools[{index}]")
            if offered is not None:
                yield offered
