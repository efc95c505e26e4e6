"""Changes of what may be called, in the middle of a conversation: a tool is added, or taken away, from there on."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, InstanceOf

from mlxd.api.anthropic.block import Block
from mlxd.api.anthropic.tools import CustomTool, ProvidedTool, read_tool
from mlxd.api.fields.functions import Offer
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


def changed(offer: Offer, changes: Iterable[ToolChangeBlock]) -> Offer:
    """Returns the offer after the changes. A tool that was taken away is still shown, so that what stands before the change is the same
    prompt as before, but may not be called.
    """
    functions, gone = list(offer.functions), set[str]()
    for change in changes:
        new = change.tool.definition.offered("messages") if change.tool.definition is not None else None
        if new is not None and not change.is_removal:
            functions = [*(one for one in functions if one.name != new.name), new]
        name = new.name if new is not None else change.tool.name
        if name is not None:
            (gone.add if change.is_removal else gone.discard)(name)
    if not gone or offer.choice.names is not None:
        return replace(offer, functions=functions)
    callable_names = tuple(one.name for one in functions if one.name not in gone)
    return replace(offer, functions=functions, choice=replace(offer.choice, names=callable_names))
