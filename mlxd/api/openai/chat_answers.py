"""The answers of chats: ``chat.completion``, and ``chat.completion.chunk``."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from mlxd.api.answer import Answer
from mlxd.api.keys import ReadyModel
from mlxd.api.openai.answers import Documents, StreamUsage, stop_reason
from mlxd.api.openai.chat_logprobs import chat_logprobs
from mlxd.types import FinishReason, Usage
from mlxd.wire.events import Delta, Finished, RequestEvent
from mlxd.wire.parts import Part, Reasoning, Text, ToolCallArguments, ToolCallBegun, content_of


@dataclass(frozen=True, kw_only=True)
class ChatStyle:
    """What of an answer is told, and how: with or without reasoning; a call as ``function_call``, which tells of one only, or among
    ``tool_calls``.
    """

    shows_reasoning: bool = True
    by_old_names: bool = False

    def reason(self, reason: FinishReason) -> str:
        return "function_call" if self.by_old_names and reason is FinishReason.TOOL_CALLS else reason.value

    def tells(self, part: Part) -> bool:
        """Tells whether the part is in the answer."""
        if isinstance(part, Reasoning):
            return self.shows_reasoning
        return isinstance(part, Text) or not self.by_old_names or part.index == 0


class ChatShape(Documents):
    """The shape of a chat's answer. A choice's first delta names the role.

    What the model thought is ``reasoning_content``, as DeepSeek, llama.cpp and SGLang call it, and ``reasoning``, as vLLM, OpenRouter and
    gpt-oss do: clients read one or the other.
    """

    chunk_kind = "chat.completion.chunk"

    def __init__(self, identity: str, model: ReadyModel, stream_usage: StreamUsage, style: ChatStyle, warnings: Sequence[str] = ()) -> None:
        super().__init__(identity, model, stream_usage, warnings)
        self._style = style
        self._begun: set[int] = set()  # choices whose role is sent
        self._told: set[int] = set()  # choices with content or calls so far

    @override
    def whole(self, answers: Sequence[Answer], usage: Usage) -> bytes:
        choices = [self._choice(index, answer) for index, answer in enumerate(answers)]
        return self.whole_document("chat.completion", choices, answers, usage)

    @override
    def bodies(self, choice: int, event: RequestEvent) -> Iterator[dict[str, Any]]:
        if isinstance(event, Delta | Finished):
            deltas = [_delta(part, self._style) for part in event.parts if self._style.tells(part)]
            if event.logprobs and not deltas and isinstance(event, Delta):
                deltas = [{}]  # of tokens that say nothing yet
            logprobs = event.logprobs
            for delta in deltas:
                yield self._chunk(choice, delta, chat_logprobs(logprobs), None)
                logprobs = []
            if isinstance(event, Finished):
                nothing = {} if choice in self._told else {"content": ""}
                yield self._chunk(choice, nothing, chat_logprobs(logprobs), event)

    def _chunk(self, choice: int, delta: dict[str, Any], logprobs: dict[str, Any] | None, end: Finished | None) -> dict[str, Any]:
        calls = delta.keys() & {"tool_calls", "function_call"}
        if choice not in self._begun:
            delta = {"role": "assistant", **({"content": None} if calls else {}), **delta}
            self._begun.add(choice)
        if calls or "content" in delta:
            self._told.add(choice)
        body = {"index": choice, "delta": delta, "logprobs": logprobs}
        return {**body, "finish_reason": None} if end is None else {**body, **self._reasons(end)}

    def _choice(self, index: int, answer: Answer) -> dict[str, Any]:
        parts = [part for part in answer.parts if self._style.tells(part)]
        message = {"role": "assistant", **_message(parts, self._style), "refusal": None}
        return {"index": index, "message": message, "logprobs": chat_logprobs(answer.logprobs), **self._reasons(answer.end)}

    def _reasons(self, end: Finished) -> dict[str, Any]:
        return {"finish_reason": self._style.reason(end.reason), **stop_reason(end)}


def _delta(part: Part, style: ChatStyle) -> dict[str, Any]:
    match part:
        case Text(text=text):
            return {"content": text}
        case Reasoning(text=text):
            return {"reasoning_content": text, "reasoning": text}
        case ToolCallBegun(index=index, id=identity, name=name):
            function = {"name": name, "arguments": ""}
            call = {"index": index, "id": identity, "type": "function", "function": function}
        case ToolCallArguments(index=index, text=text):
            function = {"arguments": text}
            call = {"index": index, "function": function}
    return {"function_call": function} if style.by_old_names else {"tool_calls": [call]}


def _message(parts: Sequence[Part], style: ChatStyle) -> dict[str, Any]:
    """Returns the fields of a whole message. Its content is null where it is nothing but calls."""
    thought = "".join(part.text for part in parts if isinstance(part, Reasoning))
    reasoning = {"reasoning_content": thought, "reasoning": thought} if thought else {}
    calls = _calls(parts)
    content = content_of(parts) or (None if calls else "")
    if not calls:
        return {"content": content, **reasoning}
    told = {"function_call": calls[0]["function"]} if style.by_old_names else {"tool_calls": calls}
    return {"content": content, **reasoning, **told}


def _calls(parts: Sequence[Part]) -> list[dict[str, Any]]:
    arguments: defaultdict[int, str] = defaultdict(str)
    for part in parts:
        if isinstance(part, ToolCallArguments):
            arguments[part.index] += part.text
    return [
        {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": arguments[part.index]}}
        for part in parts
        if isinstance(part, ToolCallBegun)
    ]
