"""Blocks: what a message's content consists of."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, InstanceOf
from typing_extensions import override

from mlxd.api.anthropic.block import BETWEEN, NOTHING, Block, Definitions
from mlxd.api.anthropic.ids import call_id
from mlxd.api.anthropic.sights import FilmBlock, ImageBlock, InlineImage
from mlxd.api.anthropic.tool_changes import ToolChangeBlock
from mlxd.api.fields.free_json import portable
from mlxd.api.fields.json_text import json_text
from mlxd.api.fields.opaque import opened
from mlxd.api.fields.open_calls import OpenCalls
from mlxd.api.fields.validation import Strict, problem, unknown_item
from mlxd.api.media.content import Content, joined
from mlxd.errors import UnsupportedParameterError, excerpt
from mlxd.listener.json_text import json_type
from mlxd.types import ChatMessage, ToolCall

LATER = frozenset({"audio", "file", "container_upload", "browser_state"})


class TextBlock(Block):
    """Plain text, by whoever says it."""

    type: Literal["text"]
    text: str

    @override
    def said(self, tools: Definitions) -> str:
        return self.text


class ThinkingBlock(Block):
    """What a model thought. What a client sends back is taken for what it says; where it says nothing, the signature may."""

    type: Literal["thinking"]
    thinking: str
    signature: str | None = None

    @property
    @override
    def thought(self) -> str:
        return self.thinking or opened(self.signature) or ""


class SilentBlock(Block):
    """A block that says nothing to a model: reasoning that only its provider can read, and marks of where something happened."""

    type: Literal["redacted_thinking", "fallback", "mcp_tool_listing"]
    data: str | None = None
    from_: Any = Field(None, alias="from")
    to: Any = None
    trigger: Any = None
    mcp_server_name: str | None = None
    tools: Any = None


class CompactionBlock(Block):
    """What stands for all that was said before it; without content, nothing does."""

    type: Literal["compaction"]
    content: str | None = None
    encrypted_content: str | None = None
    signature: str | None = None
    tool_changes: list[Annotated[InstanceOf[Block], BeforeValidator(lambda value: _block(value, _CHANGES))]] | None = None


class SearchResultBlock(Block):
    """What a search found."""

    type: Literal["search_result"]
    source: str
    title: str
    content: list[TextBlock]

    @override
    def said(self, tools: Definitions) -> str:
        return _headed([self.title, self.source], texts(self.content, tools))


class TextSource(Strict):
    """A document's text, as it is."""

    type: Literal["text"]
    media_type: str | None = None
    data: str

    def shown(self, tools: Definitions, place: str) -> Content:  # noqa: ARG002 - as blocks
        return Content(self.data)


class ContentSource(Strict):
    """A document's text and pictures, in a string or in blocks."""

    type: Literal["content"]
    content: "Contents"

    def shown(self, tools: Definitions, place: str) -> Content:
        """Returns what is in it."""
        return contents(self.content, tools, f"{place}.content")


def _source(value: object) -> TextSource | ContentSource | InlineImage:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return TextSource.model_validate(value)
    if kind == "content":
        return ContentSource.model_validate(value)
    if kind == "base64" and isinstance(value, dict) and str(value.get("media_type")).startswith("image/"):
        return InlineImage.model_validate(value)
    if kind in ("base64", "url", "file"):
        raise problem(f'"{kind}" is not supported yet; texts and pictures are', at=".type", error=UnsupportedParameterError)
    raise problem('must be "text" or "content"', at=".type")


class DocumentBlock(Block):
    """A document, as far as it is text and pictures."""

    type: Literal["document"]
    source: Annotated[
        InstanceOf[TextSource] | InstanceOf[ContentSource] | InstanceOf[InlineImage],
        BeforeValidator(_source),
    ]
    title: str | None = None
    context: str | None = None

    @override
    def shown(self, tools: Definitions, place: str) -> Content:
        found = self.source.shown(tools, f"{place}.source")
        heads = "".join(f"{head}\n" for head in (self.title, self.context) if head)
        return found.behind(heads)


class ToolReferenceBlock(Block):
    """A tool that a search found among those that the request offers. The model reads its definition, unless it knows it."""

    type: Literal["tool_reference"]
    tool_name: str

    @override
    def said(self, tools: Definitions) -> str:
        return tools.get(self.tool_name, self.tool_name)


def _input(value: object) -> object:
    return portable(value) if isinstance(value, dict) else value


class CallBlock(Block):
    """A call of an earlier answer, whoever carried it out."""

    type: Literal["tool_use", "server_tool_use", "mcp_tool_use"]
    id: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(min_length=1)]
    input: Annotated[dict[str, Any], BeforeValidator(_input)] = Field(default_factory=dict)
    server_name: str | None = None

    def to_wire(self) -> ToolCall:
        return ToolCall(id=call_id(self.id), name=self.name, arguments=json_text(self.input))


class ResultBlock(Block):
    """What a tool said."""

    tool_use_id: Annotated[str, Field(min_length=1)]
    is_error: bool | None = None

    def to_wire(self, calls: OpenCalls, tools: Definitions, place: str) -> ChatMessage:
        """Returns the message that answers one of the ``calls``; ``place`` is where the block is in the request."""
        shown = self.shown(tools, place)
        if self.is_error:
            shown = _marked(shown)
        call = calls.answered(call_id(self.tool_use_id), None)
        return ChatMessage(
            role="tool",
            content=shown.text,
            media=list(shown.media),
            name=call.name if call else None,
            tool_call_id=call_id(self.tool_use_id),
        )


class ToolResultBlock(ResultBlock):
    """What a tool of the client said, which may be nothing."""

    type: Literal["tool_result"]
    content: "Results"

    @override
    def shown(self, tools: Definitions, place: str) -> Content:
        return contents(self.content, tools, f"{place}.content")


class ServedResultBlock(ResultBlock):
    """What a tool said that a provider carried out, in whatever form: JSON, but for plain text."""

    type: str
    content: Annotated[Any, BeforeValidator(portable)] = None

    @override
    def said(self, tools: Definitions) -> str:
        blocks = self.content if isinstance(self.content, list) else []
        plain = [block.get("text") for block in blocks if isinstance(block, dict) and block.get("type") == "text"]
        if plain and len(plain) == len(blocks):
            return BETWEEN.join(text for text in plain if isinstance(text, str))
        return self.content if isinstance(self.content, str) else json_text(self.content)


_SERVED = (
    "web_search",
    "web_fetch",
    "code_execution",
    "bash_code_execution",
    "text_editor_code_execution",
    "tool_search",
    "mcp",
    "advisor",
)
_PLAIN: Mapping[str, type[Block]] = {"text": TextBlock, "image": ImageBlock, "video": FilmBlock}
_READ: Mapping[str, type[Block]] = {**_PLAIN, "search_result": SearchResultBlock, "document": DocumentBlock}
_CHANGES: Mapping[str, type[Block]] = dict.fromkeys(("tool_addition", "tool_removal"), ToolChangeBlock)
_SYSTEM: Mapping[str, type[Block]] = {"text": TextBlock, **_CHANGES}
_IN_RESULTS: Mapping[str, type[Block]] = {**_READ, "tool_reference": ToolReferenceBlock}
_OF_USER: Mapping[str, type[Block]] = {
    **_READ,
    "tool_result": ToolResultBlock,
    **_CHANGES,
    "mcp_tool_listing": SilentBlock,
    "compaction": CompactionBlock,
}
_OF_ASSISTANT: Mapping[str, type[Block]] = {
    "text": TextBlock,
    "thinking": ThinkingBlock,
    **_CHANGES,
    **dict.fromkeys(("redacted_thinking", "fallback", "mcp_tool_listing"), SilentBlock),
    "compaction": CompactionBlock,
    **dict.fromkeys(("tool_use", "server_tool_use", "mcp_tool_use"), CallBlock),
    **{f"{name}_tool_result": ServedResultBlock for name in _SERVED},
}
KINDS = {**_OF_USER, **_OF_ASSISTANT, **_IN_RESULTS}


def _block(value: object, kinds: Mapping[str, type[Block]]) -> Block:
    if not isinstance(value, dict):
        raise problem(f"must be an object, not {json_type(value)}")
    if "type" not in value:
        raise problem("is required", at=".type")
    kind = value["type"]
    if not isinstance(kind, str):
        raise problem(f"must be a string, not {json_type(kind)}", at=".type")
    if kind in LATER:
        raise problem(f'"{kind}" is not supported yet; texts and pictures are', at=".type", error=UnsupportedParameterError)
    if kind in kinds:
        return kinds[kind].model_validate(value)
    if kind in ("image", "video"):
        raise problem(f'"{kind}" is not supported here; what users and tools show may be seen', at=".type", error=UnsupportedParameterError)
    if kind in KINDS:
        raise problem(f'"{kind}" has no place here; what has: {", ".join(kinds)}', at=".type")
    raise unknown_item(kind, f'"{excerpt(kind)}" is a type of blocks that nobody knows', at=".type")


def _listed(value: object) -> object:
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if not isinstance(value, list):
        raise problem(f"must be a string or an array of blocks, not {json_type(value)}")
    return value


def _perhaps_nothing(value: object) -> object:
    return [] if value is None else _listed(value)


def _of(kinds: Mapping[str, type[Block]]) -> BeforeValidator:
    return BeforeValidator(lambda value: _block(value, kinds))


_AsSent = str | list[InstanceOf[Block]]
Texts = Annotated[list[Annotated[InstanceOf[Block], _of(_SYSTEM)]], BeforeValidator(_listed, json_schema_input_type=_AsSent)]
Contents = Annotated[list[Annotated[InstanceOf[Block], _of(_PLAIN)]], BeforeValidator(_listed, json_schema_input_type=_AsSent)]
UserBlocks = Annotated[list[Annotated[InstanceOf[Block], _of(_OF_USER)]], BeforeValidator(_listed, json_schema_input_type=_AsSent)]
AssistantBlocks = Annotated[
    list[Annotated[InstanceOf[Block], _of(_OF_ASSISTANT)]], BeforeValidator(_listed, json_schema_input_type=_AsSent)
]
Results = Annotated[
    list[Annotated[InstanceOf[Block], _of(_IN_RESULTS)]],
    Field(default_factory=list),
    BeforeValidator(_perhaps_nothing, json_schema_input_type=_AsSent | None),
]

ContentSource.model_rebuild()
ToolResultBlock.model_rebuild()


def changes_of(blocks: Iterable[Block]) -> Iterator[ToolChangeBlock]:
    """Yields the changes of tools among the blocks, and those that a compaction remembers."""
    for block in blocks:
        if isinstance(block, ToolChangeBlock):
            yield block
        elif isinstance(block, CompactionBlock):
            yield from changes_of(block.tool_changes or ())


def references_of(blocks: Iterable[Block]) -> Iterator[str]:
    """Yields the names of the tools that searches found, as their results among the blocks say."""
    for block in blocks:
        if isinstance(block, ToolReferenceBlock):
            yield block.tool_name
        elif isinstance(block, ToolResultBlock):
            yield from references_of(block.content)


def texts(blocks: Sequence[Block], tools: Definitions = NOTHING) -> str:
    """Returns what the blocks say to a model, one behind the other."""
    return BETWEEN.join(filter(None, (block.said(tools) for block in blocks)))


def contents(blocks: Sequence[Block], tools: Definitions, place: str) -> Content:
    """Returns what the blocks say and show to a model, one behind the other; ``place`` is where their list is in the request."""
    return joined((block.shown(tools, f"{place}[{number}]") for number, block in enumerate(blocks)), BETWEEN)


def _headed(heads: Iterable[str | None], text: str) -> str:
    return "\n".join([*(head for head in heads if head), text])


def _marked(given: Content) -> Content:
    """Returns what a call gave that failed, which says so where it does not do so itself."""
    if "error" in given.text[:80].lower():
        return given
    return given.behind("Error: " if given.text else "Error")
