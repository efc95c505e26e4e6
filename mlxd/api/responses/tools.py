"""``tools``: functions, tools whose input is free text, and namespaces of both; what only OpenAI's own servers carry out is left out."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, InstanceOf, model_validator
from typing_extensions import override

from mlxd.api.fields.functions import MAX_TOOLS, OfferedFunction, function_name, function_parameters
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict, problem
from mlxd.api.responses.catalogue import Catalogue, Entry
from mlxd.api.responses.leniency import CUSTOM, FUNCTION, NAMESPACE, SEARCH
from mlxd.errors import excerpt
from mlxd.listener.json_text import json_type

_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")
_FREE = "Free text, as it is."
_SEARCH = "Searches for more functions to call."
_QUERY = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}


class Tool(Strict):
    """A tool of any kind."""

    type: str

    def enter(self, catalogue: Catalogue, field: str, namespace: str | None = None, about: str = "") -> None:
        """Adds to the catalogue what of the tool the model may call. ``about`` is told of the first of a namespace."""

    def sent_back(self) -> dict[str, Any] | None:
        """Returns the tool as the answer repeats it; None for what is left out."""
        return self.model_dump(exclude_none=True)


class FunctionTool(Tool):
    """A function: its name, what it is for, and the JSON schema of its arguments."""

    tolerated: ClassVar[Rules] = FUNCTION

    type: Literal["function"]
    name: Annotated[str, BeforeValidator(function_name)]
    description: str | None = None
    parameters: Annotated[dict[str, Any], BeforeValidator(function_parameters)] | None = None
    strict: bool | None = None

    @override
    def enter(self, catalogue: Catalogue, field: str, namespace: str | None = None, about: str = "") -> None:
        function = OfferedFunction(
            field=field,
            name=self.name,
            description=_told(about, self.description),
            parameters=self.parameters,
            strict=bool(self.strict),
        )
        catalogue.add(Entry(name=self.name, namespace=namespace), function)

    @override
    def sent_back(self) -> dict[str, Any]:
        return self.model_dump()  # with nulls, which OpenAI's clients ask for


class InputFormat(Strict):
    """What the input of a custom tool must be."""

    type: Literal["text", "grammar"]
    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = next((name for name in ("syntax", "definition") if not getattr(self, name)), None)
        if self.type == "grammar" and missing is not None:
            raise problem("is required of a grammar", at=f".{missing}")
        return self

    @property
    def pattern(self) -> str | None:
        """Returns the regular expression that all of the input must match, if there is one."""
        return self.definition if self.type == "grammar" and self.syntax == "regex" else None

    def told(self) -> str:
        """Returns what the model is told of it."""
        if self.type == "text":
            return _FREE
        kind = "this regular expression" if self.syntax == "regex" else "this Lark grammar"
        return f"Text that matches {kind}:\n{self.definition}"


class CustomTool(Tool):
    """A tool whose input is free text. A model writes a call of it as one of a function with one string, ``input``."""

    tolerated: ClassVar[Rules] = CUSTOM

    type: Literal["custom"]
    name: Annotated[str, BeforeValidator(function_name)]
    description: str | None = None
    format: InputFormat | None = None

    @override
    def enter(self, catalogue: Catalogue, field: str, namespace: str | None = None, about: str = "") -> None:
        form = self.format or InputFormat(type="text")
        text: dict[str, Any] = {"type": "string", "description": form.told()}
        if form.pattern is not None:
            text["pattern"] = f"^(?:{form.pattern})$"
        function = OfferedFunction(
            field=field,
            name=self.name,
            description=_told(about, self.description),
            parameters={"type": "object", "properties": {"input": text}, "required": ["input"], "additionalProperties": False},
            strict=form.pattern is not None,
        )
        catalogue.add(Entry(name=self.name, namespace=namespace, kind="custom"), function)


class SearchTool(Tool):
    """A search for more tools that the client carries out: what it finds comes with the next request, in an item."""

    tolerated: ClassVar[Rules] = SEARCH

    type: Literal["tool_search"]
    execution: Literal["client"]
    description: str | None = None
    parameters: Annotated[dict[str, Any], BeforeValidator(function_parameters)] | None = None

    @override
    def enter(self, catalogue: Catalogue, field: str, namespace: str | None = None, about: str = "") -> None:
        function = OfferedFunction(
            field=field, name=self.type, description=self.description or _SEARCH, parameters=self.parameters or _QUERY
        )
        catalogue.add(Entry(name=self.type, kind="tool_search"), function)


class HostedTool(Tool):
    """A tool that OpenAI's servers carry out, or that their models alone were trained for; also one of a kind that nobody knows."""

    model_config = ConfigDict(extra="ignore")  # each kind has fields of its own

    @override
    def sent_back(self) -> None:
        return None


def _namespace(value: object) -> object:
    if isinstance(value, str) and not _NAMESPACE.fullmatch(value):
        raise problem(f'must be letters, digits and ". _ - : /", not "{excerpt(value)}"')
    return value


def _tool(value: object) -> Tool:
    if not isinstance(value, dict):
        raise problem(f"must be an object, not {json_type(value)}")
    if isinstance(value.get("function"), dict):  # as chats write it
        beside = {name: inner for name, inner in value.items() if name not in ("function", "type")}
        value = {"type": value.get("type", "function"), **beside, **value["function"]}
    kind = value.get("type", "function" if "name" in value else None)
    if not isinstance(kind, str):
        raise problem("is required" if kind is None else f"must be a string, not {json_type(kind)}", at=".type")
    reader = _KINDS.get(kind)
    if reader is SearchTool and value.get("execution") != "client":
        reader = None
    return HostedTool(type=kind) if reader is None else reader.model_validate(value | {"type": kind})


_AnyTool = Annotated[InstanceOf[Tool], BeforeValidator(_tool)]
Tools = Annotated[list[_AnyTool], Field(max_length=MAX_TOOLS)]


class NamespaceTool(Tool):
    """Functions and custom tools under a common name."""

    tolerated: ClassVar[Rules] = NAMESPACE

    type: Literal["namespace"]
    name: Annotated[str, BeforeValidator(_namespace), Field(min_length=1)]
    description: str | None = None
    tools: Tools

    @override
    def enter(self, catalogue: Catalogue, field: str, namespace: str | None = None, about: str = "") -> None:
        inner = self.name if namespace is None else f"{namespace}__{self.name}"
        told = self.description or ""
        for index, tool in enumerate(self.tools):
            tool.enter(catalogue, f"{field}.tools[{index}]", inner, told)
            told = ""

    @override
    def sent_back(self) -> dict[str, Any]:
        return {"type": self.type, "name": self.name, "description": self.description or "", "tools": sent_back(self.tools)}


_KINDS: dict[str, type[Tool]] = {"function": FunctionTool, "custom": CustomTool, "namespace": NamespaceTool, "tool_search": SearchTool}


def catalogue_of(tools: Sequence[Tool], field: str = "tools") -> Catalogue:
    """Returns the functions that the tools of a field offer."""
    catalogue = Catalogue({tool.name for tool in tools if isinstance(tool, FunctionTool | CustomTool)})
    for index, tool in enumerate(tools):
        tool.enter(catalogue, f"{field}[{index}]")
    return catalogue


def left_out(tools: Sequence[Tool], field: str = "tools") -> Iterator[str]:
    """Yields which of the tools are left out, as warnings."""
    for index, tool in enumerate(tools):
        where = f"{field}[{index}]"
        if isinstance(tool, HostedTool):
            yield f"{where}: {excerpt(tool.type)} is not carried out here, so that the tool was left out"
        elif isinstance(tool, NamespaceTool):
            yield from left_out(tool.tools, f"{where}.tools")


def sent_back(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Returns the tools as the answer repeats them."""
    return [sent for tool in tools if (sent := tool.sent_back()) is not None]


def _told(*texts: str | None) -> str | None:
    return "\n\n".join(text for text in texts if text) or None
