"""Changes of what may be called, in the middle of a conversation: a tool is added, or taken away, from there on."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, InstanceOf
from typing_extensions import override

from mlxd.api.anthropic.block import Block, Definitions
from mlxd.api.anthropic.tools import CustomTool, ProvidedTool, read_tool
from mlxd.api.fields.functions import Offer, OfferedFunction
from mlxd.api.fields.validation import Strict, problem


class ChangedTool(Strict):
    """A tool that changes: by its name, or, where it is a new one, by its definition. Those of MCP servers are a provider's."""

    type: Literal["tool_reference", "tool_definition", "mcp_tool_reference", "mcp_toolset_reference"]
    name: str | None = None
    server_name: str | None = None
    definition: Annotated[InstanceOf[CustomTool] | InstanceOf[ProvidedTool], BeforeValidator(read_tool)] | None = None


def _with_what_its_type_needs(value: object) -> Any:
    needed = {"tool_reference": "name", "tool_definition": "definition"}
    kind = value.get("type") if isinstance(value, dict) else None
    field = needed.get(kind) if isinstance(kind, str) else None
    if field is not None and isinstance(value, dict) and value.get(field) is None:
        raise problem("is required", at=f".{field}")
    return value


class ToolChangeBlock(Block):
    """A tool that may be called from here on, or not any more."""

    type: Literal["tool_addition", "tool_removal"]
    tool: Annotated[ChangedTool, BeforeValidator(_with_what_its_type_needs)]

    @property
    def is_removal(self) -> bool:
        """Tells whether the tool is taken away."""
        return self.type == "tool_removal"

    @property
    def names(self) -> set[str]:
        """Returns the tool's name, where it is the client's."""
        named = self.tool.definition.name if self.tool.definition is not None else self.tool.name
        return set() if named is None or self.tool.type.startswith("mcp_") else {named}

    def defines(self, name: str) -> bool:
        """Tells whether it says anew what the tool of that name is."""
        return self.tool.definition is not None and self.tool.definition.name == name

    def defined(self) -> Iterator[OfferedFunction]:
        """Yields the tool, where it is a new one that the client carries out."""
        new = self.tool.definition.offered("messages") if self.tool.definition is not None else None
        if new is not None:
            yield replace(new, is_deferred=True)

    @override
    def said(self, tools: Definitions) -> str:
        if self.is_removal:
            return "".join(f"The tool {name} may not be called any more." for name in self.names)
        return "".join(tools.get(name, "") for name in self.names)


def changed(offer: Offer, changes: Iterable[ToolChangeBlock], found: Iterable[str]) -> Offer:
    """Returns the offer after the changes; of its deferred tools, those that were ``found`` or added. One that was taken away is still
    shown, so that what stands before the change is the same prompt as before, but may not be called.
    """
    functions, known, gone = list(offer.functions), set(found), set[str]()
    for change in changes:
        if change.is_removal:
            gone |= change.names
            continue
        gone -= change.names
        known |= change.names
        functions = [*(one for one in functions if not change.defines(one.name)), *change.defined()]
    callable_ones = [one for one in functions if one.name in known or not one.is_deferred]
    if not gone or offer.choice.names is not None:
        return replace(offer, functions=callable_ones)
    choice = replace(offer.choice, names=tuple(one.name for one in callable_ones if one.name not in gone))
    return replace(offer, functions=callable_ones, choice=choice)


def definitions(offer: Offer) -> Definitions:
    """Returns what the model is told of each deferred tool."""
    return {one.name: one.told() for one in offer.functions if one.is_deferred}
