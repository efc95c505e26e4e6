"""A chat's messages: from OpenAI's shape to the wire's."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, InstanceOf
from typing_extensions import override

from mlxd.api.fields.open_calls import MAX_CALLS, OpenCalls
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict, at_most, problem, quoted, read_by_role
from mlxd.api.openai.content import Answers, Results, Seen, Texts, content_text, shown_content, thought_text
from mlxd.api.openai.leniency import ANSWERED, MESSAGE, RESULT
from mlxd.api.openai.past_calls import CalledFunction, PastCall
from mlxd.types import ChatMessage

MAX_MESSAGES = 10_000

_Name = Annotated[str, Field(min_length=1, max_length=64)]


class AnyMessage(Strict):
    """A message of whatever role."""

    role: str
    name: _Name | None = None

    @abstractmethod
    def to_wire(self, calls: OpenCalls, turn: int) -> ChatMessage:
        """Returns the message as the chat template sees it; ``turn`` is its place, and ``calls`` are those made so far."""


class InstructingMessage(AnyMessage):
    """A message of who instructs the model: ``developer`` is OpenAI's newer name of ``system``."""

    tolerated: ClassVar[Rules] = MESSAGE

    role: Literal["system", "developer"]
    content: Texts

    @override
    def to_wire(self, calls: OpenCalls, turn: int) -> ChatMessage:
        return ChatMessage(role="system", content=content_text(self.content), name=self.name)


class AskingMessage(AnyMessage):
    """A message of the user."""

    tolerated: ClassVar[Rules] = MESSAGE

    role: Literal["user"]
    content: Seen

    @override
    def to_wire(self, calls: OpenCalls, turn: int) -> ChatMessage:
        content = shown_content(self.content, f"messages[{turn}].content")
        return ChatMessage(role="user", content=content.text, name=self.name, media=list(content.media))


class AssistantMessage(AnyMessage):
    """An answer so far. What was thought for it is under one of four names, or among the parts of its content."""

    tolerated: ClassVar[Rules] = ANSWERED

    role: Literal["assistant"]
    content: Answers
    tool_calls: Annotated[list[PastCall], Field(max_length=MAX_CALLS)] | None = None
    function_call: CalledFunction | None = None
    refusal: str | None = None
    prefix: bool | None = None  # it is to be continued: how DeepSeek and Mistral write continue_final_message
    partial: bool | None = None  # how Kimi and Qwen write it
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking_blocks: list[dict[str, Any]] | None = None
    reasoning_details: list[dict[str, Any]] | None = None

    @property
    def is_begun(self) -> bool:
        """Tells whether the message itself says that it is to be continued."""
        return bool(self.prefix or self.partial)

    @property
    def calls(self) -> list[PastCall]:
        """Returns the calls it made, by the old field or the new one."""
        if self.function_call is not None and not self.tool_calls:
            return [PastCall(function=self.function_call)]
        return self.tool_calls or []

    @property
    def thought(self) -> str:
        """Returns what was thought; empty where nobody knows."""
        return (
            self.reasoning_content
            or self.reasoning
            or thought_text(self.content)
            or _texts(self.thinking_blocks, "thinking")
            or _texts(self.reasoning_details, "text", "summary")
        )

    @override
    def to_wire(self, calls: OpenCalls, turn: int) -> ChatMessage:
        return ChatMessage(
            role="assistant",
            content=content_text(self.content) or self.refusal or "",
            name=self.name,
            reasoning=self.thought or None,
            tool_calls=calls.made([call.to_wire() for call in self.calls], turn),
        )


class ResultMessage(AnyMessage):
    """What a tool said; ``function`` is the old name of the role ``tool``."""

    tolerated: ClassVar[Rules] = RESULT

    role: Literal["tool", "function"]
    content: Results
    name: Annotated[str, Field(max_length=256)] | None = None
    tool_call_id: str | None = None

    @override
    def to_wire(self, calls: OpenCalls, turn: int) -> ChatMessage:
        call = calls.answered(self.tool_call_id, self.name)
        content = shown_content(self.content, f"messages[{turn}].content")
        return ChatMessage(
            role="tool",
            content=content.text,
            media=list(content.media),
            name=call.name if call else self.name or None,
            tool_call_id=call.id if call else self.tool_call_id or None,
        )


_KINDS: dict[str, type[AnyMessage]] = {
    **dict.fromkeys(("system", "developer"), InstructingMessage),
    "user": AskingMessage,
    "assistant": AssistantMessage,
    **dict.fromkeys(("tool", "function"), ResultMessage),
}


def _message(value: object) -> AnyMessage:
    if not isinstance(value, dict):
        raise problem(f"must be an object, not {quoted(value)}")
    return read_by_role(value, _KINDS)


def _texts(blocks: Sequence[dict[str, Any]] | None, *names: str) -> str:
    found = (block.get(name) for block in blocks or () for name in names)
    return "".join(text for text in found if isinstance(text, str))


Message = Annotated[InstanceOf[AnyMessage], BeforeValidator(_message)]
Messages = Annotated[list[Message], BeforeValidator(at_most(MAX_MESSAGES)), Field(min_length=1)]


def conversation(messages: Sequence[AnyMessage]) -> list[ChatMessage]:
    """Returns the messages as the chat template sees them."""
    calls = OpenCalls()
    return [message.to_wire(calls, turn) for turn, message in enumerate(messages)]
