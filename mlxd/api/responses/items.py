"""``input``: a text, or the items of the conversation so far."""

from abc import abstractmethod
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, InstanceOf, model_validator
from typing_extensions import override

from mlxd.api.fields.free_json import portable
from mlxd.api.fields.json_text import json_text
from mlxd.api.fields.opaque import opened
from mlxd.api.fields.validation import at_most, problem, unknown_item
from mlxd.api.media.content import Content
from mlxd.api.responses.catalogue import Catalogue
from mlxd.api.responses.content import FilmPart, ImagePart, Parts, Thoughts, content_text, shown_content
from mlxd.api.responses.past import Past
from mlxd.api.responses.tools import Tools, catalogue_of
from mlxd.api.responses.turns import Turns
from mlxd.errors import UnsupportedParameterError, excerpt
from mlxd.listener.json_text import json_type
from mlxd.types import ToolCall

MAX_ITEMS = 10_000


def _arguments(value: object) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        return "{}"
    if isinstance(value, dict):
        return json_text(portable(value))
    if not isinstance(value, str):
        raise problem(f"must be a string that holds a JSON object, not {json_type(value)}")
    return value


_Name = Annotated[str, Field(min_length=1, max_length=256)]
_Arguments = Annotated[str, BeforeValidator(_arguments, json_schema_input_type=str | dict[str, Any] | None)]
_Json = Annotated[Any, BeforeValidator(portable)]


class Item(Past):
    """An item of a conversation."""

    @abstractmethod
    def tell(self, turns: Turns, catalogue: Catalogue) -> None:
        """Adds the item to the conversation; the catalogue has the names that the model knows functions by."""


class MessageItem(Item):
    """A message, with or without a type."""

    type: Literal["message"] | None = None
    role: Literal["system", "developer", "user", "assistant"]
    content: Parts

    @model_validator(mode="after")
    def _only_users_show(self) -> Self:
        for number, part in enumerate(self.content):
            if self.role != "user" and isinstance(part, ImagePart | FilmPart):
                raise problem(
                    f'"{part.type}" is not supported in a message of the {self.role}; what users and tools show may be seen',
                    at=f".content[{number}].type",
                    error=UnsupportedParameterError,
                )
        return self

    @override
    def tell(self, turns: Turns, catalogue: Catalogue) -> None:
        match self.role:
            case "assistant":
                turns.said(content_text(self.content))
            case "user":
                turns.asked(shown_content(self.content, f"{turns.place}.content"))
            case _:
                turns.instructed(content_text(self.content))


class ReasoningItem(Item):
    """What a model thought: sealed by us, or as it is, or as it was summed up."""

    type: Literal["reasoning"]
    summary: Thoughts
    content: Thoughts
    encrypted_content: str | None = None

    @override
    def tell(self, turns: Turns, catalogue: Catalogue) -> None:
        text = opened(self.encrypted_content) or content_text(self.content) or "\n\n".join(part.content for part in self.summary)
        if text:
            turns.thought(text)


class FunctionCallItem(Item):
    """A call of a function."""

    type: Literal["function_call"]
    call_id: str | None = None
    id: str | None = None
    name: _Name
    namespace: str | None = None
    arguments: _Arguments = "{}"

    @override
    def tell(self, turns: Turns, catalogue: Catalogue) -> None:
        name = catalogue.name_of(self.namespace, self.name)
        turns.called(ToolCall(id=self.call_id or self.id or "", name=name, arguments=self.arguments))


class CustomCallItem(Item):
    """A call of a tool whose input is free text."""

    type: Literal["custom_tool_call"]
    call_id: str | None = None
    id: str | None = None
    name: _Name
    namespace: str | None = None
    input: str = ""

    @override
    def tell(self, turns: Turns, catalogue: Catalogue) -> None:
        name = catalogue.name_of(self.namespace, self.name)
        arguments = json_text({"input": self.input})
        turns.called(ToolCall(id=self.call_id or self.id or "", name=name, arguments=arguments))


class ResultItem(Item):
    """What a function, or a tool whose input is free text, gave."""

    type: Literal["function_call_output", "custom_tool_call_output"]
    call_id: str | None = None
    name: str | None = None
    output: Parts

    @override
    def tell(self, turns: Turns, catalogue: Catalogue) -> None:
        turns.result(self.call_id, self.name, shown_content(self.output, f"{turns.place}.output"))


class ClientCallItem(Item):
    """A call that clients carry out and that is no function: what was asked of the tool is told as arguments of a function of its name."""

    type: Literal["local_shell_call", "shell_call", "apply_patch_call"]
    call_id: str | None = None
    id: str | None = None
    action: _Json = None
    operation: _Json = None

    @override
    def tell(self, turns: Turns, catalogue: Catalogue) -> None:
        asked = json_text(self.action or self.operation or {})
        turns.called(ToolCall(id=self.call_id or self.id or "", name=self.type.removesuffix("_call"), arguments=asked))


class ClientResultItem(Item):
    """What such a call gave, whatever its form."""

    type: Literal["local_shell_call_output", "shell_call_output", "apply_patch_call_output"]
    call_id: str | None = None
    id: str | None = None
    status: str | None = None
    output: _Json = None

    @override
    def tell(self, turns: Turns, catalogue: Catalogue) -> None:
        given = self.status if self.output is None else self.output
        text = given if isinstance(given, str) else "" if given is None else json_text(given)
        turns.result(self.call_id or self.id, self.type.removesuffix("_call_output"), Content(text))


class SearchCallItem(Item):
    """A search for more tools."""

    type: Literal["tool_search_call"]
    call_id: str | None = None
    id: str | None = None
    arguments: _Json = None

    @override
    def tell(self, turns: Turns, catalogue: Catalogue) -> None:
        asked = self.arguments if isinstance(self.arguments, str) else json_text(self.arguments or {})
        name = catalogue.name_of(None, "tool_search")
        turns.called(ToolCall(id=self.call_id or self.id or "", name=name, arguments=asked))


class LoadedToolsItem(Item):
    """Tools that may be called from now on: found by a search, or added."""

    type: Literal["tool_search_output", "additional_tools"]
    call_id: str | None = None
    tools: Tools

    @override
    def tell(self, turns: Turns, catalogue: Catalogue) -> None:
        told = "\n".join(catalogue.told(entry) for entry in catalogue_of(self.tools).entries)
        if self.type == "tool_search_output":
            turns.result(self.call_id, "tool_search", Content(told or "No function was found."))
        elif told:
            turns.instructed(told)


class LeftOutItem(Item):
    """What a model cannot be shown: the work of hosted tools, and what other servers alone can read."""

    type: str

    @override
    def tell(self, turns: Turns, catalogue: Catalogue) -> None:
        pass


_KINDS: dict[str, type[Item]] = {
    "message": MessageItem,
    "reasoning": ReasoningItem,
    "function_call": FunctionCallItem,
    "custom_tool_call": CustomCallItem,
    **dict.fromkeys(("function_call_output", "custom_tool_call_output"), ResultItem),
    "tool_search_call": SearchCallItem,
    **dict.fromkeys(("tool_search_output", "additional_tools"), LoadedToolsItem),
    **dict.fromkeys(("local_shell_call", "shell_call", "apply_patch_call"), ClientCallItem),
    **dict.fromkeys(("local_shell_call_output", "shell_call_output", "apply_patch_call_output"), ClientResultItem),
    **dict.fromkeys(
        (
            *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"),
            *("computer_call", "computer_call_output", "mcp_list_tools", "mcp_call", "mcp_approval_request", "mcp_approval_response"),
            *("program", "program_output"),
            *("compaction", "compaction_summary", "context_compaction", "configuration_update", "ghost_snapshot", "agent_message"),
        ),
        LeftOutItem,
    ),
}
_NOT_STORED = (
    "is not supported: no answer is stored here, so that an item must be sent itself, not its id; clients do that with store = false"
)


def _item(value: object) -> Item:
    if not isinstance(value, dict):
        raise problem(f"must be an object, not {json_type(value)}")
    kind = value.get("type")
    if kind == "item_reference" or (kind is None and "role" not in value and "id" in value):
        raise problem(_NOT_STORED, at=".type" if "type" in value else ".id", error=UnsupportedParameterError)
    if kind is None:
        return MessageItem.model_validate(value)
    if not isinstance(kind, str):
        raise problem(f"must be a string, not {json_type(kind)}", at=".type")
    if kind == "compaction_trigger":
        raise problem(f'"{excerpt(kind)}" is not supported: nothing is compacted here', at=".type", error=UnsupportedParameterError)
    if kind not in _KINDS:
        raise unknown_item(kind, f'"{excerpt(kind)}" is a type of items that nobody knows', at=".type")
    return _KINDS[kind].model_validate(value)


def _listed(value: object) -> object:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise problem(f"must be a string or an array of items, not {json_type(value)}")
    return at_most(MAX_ITEMS)(value)


_Items = list[Annotated[InstanceOf[Item], BeforeValidator(_item)]]
Input = Annotated[_Items, BeforeValidator(_listed, json_schema_input_type=str | _Items), Field(min_length=1)]
