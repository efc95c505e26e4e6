"""``tool_choice``: whether an answer calls tools, and which."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, InstanceOf

from mlxd.api.fields.functions import Mode, ToolChoice
from mlxd.api.fields.validation import problem, quoted

_MODES: Mapping[object, Mode] = {"none": "none", "auto": "auto", "required": "required", "any": "required"}  # Mistral says "any"
_KINDS = '"none", "auto", "required", or an object that names a function'


def _choice(value: object) -> ToolChoice:
    if isinstance(value, ToolChoice):
        return value
    if isinstance(value, dict):
        return _object(value)
    if isinstance(value, str) and value in _MODES:
        return ToolChoice(_MODES[value])
    raise problem(f"must be {_KINDS}, not {quoted(value)}")


def _object(value: dict[str, Any]) -> ToolChoice:
    kind = value.get("type", "function")
    if kind == "allowed_tools":
        return _allowed(value.get("allowed_tools", value))
    if kind in ("function", "tool"):
        return ToolChoice("required", (_named(value),), once=True)
    if isinstance(kind, str) and kind in _MODES:
        return ToolChoice(_MODES[kind])
    raise problem('must be "function" or "allowed_tools"', at=".type")


def _allowed(value: object) -> ToolChoice:
    if not isinstance(value, dict) or not isinstance(value.get("tools"), list):
        raise problem("must have an array of tools", at=".allowed_tools")
    mode = value.get("mode", "auto")
    if mode not in ("auto", "required"):
        raise problem('must be "auto" or "required"', at=".allowed_tools.mode")
    return ToolChoice(_MODES[mode], _names(value["tools"]))


def _names(tools: Sequence[object]) -> tuple[str, ...]:
    return tuple(_named(tool, f".allowed_tools.tools[{index}]") for index, tool in enumerate(tools))


def _named(value: object, at: str = "") -> str:
    """Returns the name in ``{"function": {"name": …}}``, as chats have it, or ``{"name": …}``, as the Responses API has it."""
    function = value.get("function", value) if isinstance(value, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise problem(f"must be the name of a function, not {quoted(name)}", at=f"{at}.function.name")
    return name


Choice = Annotated[
    InstanceOf[ToolChoice],
    BeforeValidator(_choice, json_schema_input_type=Literal["none", "auto", "required", "any"] | dict[str, Any]),
]
