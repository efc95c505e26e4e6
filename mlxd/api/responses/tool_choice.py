"""``tool_choice``: whether an answer calls tools, and which."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, InstanceOf

from mlxd.api.fields.functions import Mode, ToolChoice
from mlxd.api.fields.validation import problem, quoted
from mlxd.api.responses.catalogue import Catalogue
from mlxd.errors import InvalidRequestError, UnsupportedParameterError, excerpt
from mlxd.listener.json_text import json_type

_MODES: Mapping[object, Mode] = {"none": "none", "auto": "auto", "required": "required", "any": "required"}
_NAMED = ("function", "custom", "tool")
_KINDS = '"none", "auto", "required", or an object that names a tool'


@dataclass(frozen=True)
class NamedTool:
    """A tool that a choice names: ``kind`` is its type, and its name is None where the type says it all."""

    kind: str
    name: str | None = None
    namespace: str | None = None

    def found(self, catalogue: Catalogue) -> list[str]:
        """Returns the model's names of it; none where it is not offered."""
        if self.name is None:
            return catalogue.of_kind(self.kind)
        if self.kind == "namespace":
            return catalogue.within(self.name)
        found = catalogue.named(self.namespace, self.name)
        return [] if found is None else [found]


@dataclass(frozen=True, kw_only=True)
class AskedChoice:
    """A choice, as it was ``sent``. ``only`` are the tools that may be called; None: any. One alone is called ``once``."""

    sent: Any
    mode: Mode
    only: tuple[NamedTool, ...] | None = None
    once: bool = False

    def within(self, catalogue: Catalogue) -> ToolChoice:
        """Returns the choice among the functions that are offered. Raises ``InvalidRequestError`` where another tool must be called."""
        if self.only is None:
            return ToolChoice(self.mode)
        names = tuple(name for tool in self.only for name in tool.found(catalogue))
        if names:
            return ToolChoice(self.mode, names, once=self.once)
        if self.mode == "required":
            raise self._lacking(self.only[0] if self.only else None)
        return ToolChoice("none")  # it may call hosted tools only

    def _lacking(self, tool: NamedTool | None) -> InvalidRequestError:
        if tool is None:
            return InvalidRequestError("tool_choice asks for a call of one of no tools", param="tool_choice")
        if tool.name is None:
            message = f"tool_choice asks for a call of {excerpt(tool.kind)}, which is not carried out here"
            return UnsupportedParameterError(message, param="tool_choice")
        return InvalidRequestError(f"tool_choice names {excerpt(tool.name)!r}, which is not among the tools", param="tool_choice")


def _choice(value: object) -> AskedChoice:
    if isinstance(value, str) and value in _MODES:
        return AskedChoice(sent=value, mode=_MODES[value])
    if isinstance(value, dict):
        return _object(value)
    raise problem(f"must be {_KINDS}, not {quoted(value)}")


def _object(value: dict[str, Any]) -> AskedChoice:
    kind = value.get("type", "function")
    if not isinstance(kind, str):
        raise problem(f"must be a string, not {json_type(kind)}", at=".type")
    if kind in _MODES:
        return AskedChoice(sent=kind, mode=_MODES[kind])
    if kind == "allowed_tools":
        return _allowed(value)
    return AskedChoice(sent=value, mode="required", only=(_named(value, ""),), once=kind != "namespace")


def _allowed(value: dict[str, Any]) -> AskedChoice:
    inner = value.get("allowed_tools", value)  # chats write it below
    if not isinstance(inner, dict) or not isinstance(inner.get("tools"), list):
        raise problem("must have an array of tools", at=".tools")
    mode = inner.get("mode", "auto")
    if mode not in ("auto", "required"):
        raise problem('must be "auto" or "required"', at=".mode")
    tools = tuple(_named(tool, f".tools[{index}]") for index, tool in enumerate(inner["tools"]))
    return AskedChoice(sent={"type": "allowed_tools", "mode": mode, "tools": inner["tools"]}, mode=_MODES[mode], only=tools)


def _named(value: object, at: str) -> NamedTool:
    if not isinstance(value, dict):
        raise problem(f"must be an object, not {json_type(value)}", at=at)
    kind = value.get("type", "function")
    if not isinstance(kind, str):
        raise problem(f"must be a string, not {json_type(kind)}", at=f"{at}.type")
    within = value.get(kind)  # chats write the name below
    name = within.get("name") if isinstance(within, dict) else value.get("name")
    if kind in (*_NAMED, "namespace") and not isinstance(name, str):
        raise problem(f"must be the name of a tool, not {json_type(name)}", at=f"{at}.name")
    namespace = value.get("namespace")
    return NamedTool(kind, name if kind in (*_NAMED, "namespace") else None, namespace if isinstance(namespace, str) else None)


Choice = Annotated[InstanceOf[AskedChoice], BeforeValidator(_choice)]
