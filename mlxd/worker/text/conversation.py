"""From a chat prompt to the conversation that its template sees: messages, tools and variables, every string of a client's guarded."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from mlxd.errors import InvalidRequestError
from mlxd.media_terms import Media, MediaKind
from mlxd.types import ChatMessage, ToolCall
from mlxd.wire.prompts import ChatPrompt
from mlxd.worker.text.call_ids import CallIds
from mlxd.worker.text.chat_template import ChatRenderer, Conversation
from mlxd.worker.text.joined_messages import joined
from mlxd.worker.text.media_probe import seeing
from mlxd.worker.text.message_parts import parts_of, renderer_of_texts
from mlxd.worker.text.shapes import Shapes
from mlxd.worker.text.template_probe import EFFORTS, ArgumentForm, TemplateTraits, TextBesideCalls, probe
from mlxd.worker.text.tool_prompt import one_call_each, with_tool_prompt, without_calls

_RESERVED = frozenset({"messages", "tools", "add_generation_prompt", "continue_final_message", "tokenize", "chat_template"})
_THINKING = ("enable_thinking", "thinking")  # variables that switch it
_OFF = frozenset({"none", "minimal"})
_NAMES = {MediaKind.IMAGE: "picture", MediaKind.VIDEO: "film"}


@dataclass(frozen=True)
class ChatFormat:
    """How a model is talked to, and how it speaks. ``with_tools`` is another one for conversations with tools, where the model has one."""

    renderer: ChatRenderer
    traits: TemplateTraits
    shapes: Shapes = field(default_factory=Shapes)
    with_tools: "ChatFormat | None" = None

    @classmethod
    def of(cls, renderer: ChatRenderer, for_tools: ChatRenderer | None = None) -> "ChatFormat":
        """Probes the renderer, and the one for conversations with tools, if there is another one."""
        renderer = renderer_of_texts(renderer)
        return cls(renderer, probe(renderer), with_tools=None if for_tools is None else cls.of(for_tools))

    def fitting(self, prompt: ChatPrompt) -> "ChatFormat":
        """Returns the one that renders ``prompt``."""
        has_calls = any(message.tool_calls or message.role == "tool" for message in prompt.messages)
        return self.with_tools if self.with_tools is not None and (prompt.tools or has_calls) else self

    def without_tools(self) -> "ChatFormat":
        """Returns the same with tools told in the template's place."""
        traits = replace(self.traits, shows_tools=False, shows_calls=False, takes_many_calls=True, example=None)
        return replace(self, traits=traits, with_tools=None)

    def seeing(self, placeholders: Mapping[MediaKind, str]) -> "ChatFormat":
        """Returns the same for a model that sees, with what its templates show of what is to be seen."""
        with_tools = None if self.with_tools is None else self.with_tools.seeing(placeholders)
        return replace(self, traits=seeing(self.renderer, self.traits, placeholders), with_tools=with_tools)

    @property
    def sees(self) -> frozenset[MediaKind]:
        """Returns what is shown, wherever a user shows it."""
        return frozenset(kind for kind, roles in self.traits.shows_media.items() if "user" in roles)

    @property
    def tells_tools(self) -> bool:
        """Tells whether a template of the model's own shows tools; else they are told in its place."""
        return (self.with_tools or self).traits.shows_tools


def conversation_of(prompt: ChatPrompt, traits: TemplateTraits, guard: Callable[[str], str]) -> Conversation:
    """Returns what the template is to render of ``prompt``. Raises ``InvalidRequestError`` for what it cannot show."""
    messages = list(prompt.messages) if traits.takes_two_systems else _one_system(prompt.messages)
    messages = messages if traits.takes_late_system else _late_system_as_user(messages)
    messages = messages if traits.takes_system else _system_as_user(messages)
    messages = messages if traits.takes_many_calls else one_call_each(messages)
    messages = messages if traits.shows_calls else without_calls(messages)
    messages = _shown_by_users(messages, traits)
    messages = messages if traits.takes_users_in_a_row else _alternating(messages)
    messages = messages if traits.shows_tools else with_tool_prompt(messages, prompt.tools, takes_system=traits.takes_system)
    if prompt.tools and traits.tools_need_system and messages[:1] and messages[0].role != "system":
        messages = [ChatMessage(role="system", content=""), *messages]
    shown = [*_Shown(traits).messages(messages)]
    tools = [_completed(tool) for tool in prompt.tools] if traits.shows_tools else []
    opens_answer = prompt.add_generation_prompt and not prompt.continue_final_message
    variables = _guarded(_variables(prompt, traits), guard)
    media = [one for message in messages for one in message.media]
    return Conversation(_guarded(shown, guard), _guarded(tools, guard), variables, opens_answer, media)


class _Shown:
    """The messages of one conversation as templates read them."""

    def __init__(self, traits: TemplateTraits) -> None:
        self._traits = traits
        self._ids = CallIds(traits.ids)

    def messages(self, messages: Sequence[ChatMessage]) -> Iterator[dict[str, Any]]:
        for message in messages:
            match message.role:
                case "assistant" if message.tool_calls:
                    yield from self._calling(message)
                case "tool":
                    yield self._result(message)
                case _:
                    yield self._plain(message) | self._thoughts(message)

    def _calling(self, message: ChatMessage) -> Iterator[dict[str, Any]]:
        calls = [self._call(call) for call in message.tool_calls]
        thoughts = self._thoughts(message) if self._traits.reasoning_beside_text or not message.content else {}
        plain = self._plain(message) | thoughts
        if not message.content and not message.media:
            yield plain | {"content": self._traits.empty, "tool_calls": calls}
        elif self._traits.text_beside_calls is TextBesideCalls.SHOWN:
            yield plain | {"tool_calls": calls}
        else:
            if self._traits.text_beside_calls is TextBesideCalls.APART:
                yield plain
            yield {"role": "assistant", "content": self._traits.empty, "tool_calls": calls}

    def _call(self, call: ToolCall) -> dict[str, Any]:
        arguments: Any = call.arguments or "{}"
        if self._traits.arguments is ArgumentForm.OBJECT:
            arguments = _object(arguments)
        return {"id": self._ids.of_call(call), "type": "function", "function": {"name": call.name, "arguments": arguments}}

    def _result(self, message: ChatMessage) -> dict[str, Any]:
        known = {"name": self._ids.name_of(message), "tool_call_id": self._ids.of_result(message)}
        return self._plain(message) | {key: value for key, value in known.items() if value is not None}

    def _thoughts(self, message: ChatMessage) -> dict[str, Any]:
        return dict.fromkeys(self._traits.reasoning, message.reasoning) if message.reasoning else {}

    def _plain(self, message: ChatMessage) -> dict[str, Any]:
        name = {} if message.name is None else {"name": message.name}
        content = parts_of(message, self._traits.text_key) if message.media else message.content
        return {"role": message.role, "content": content} | name


def _object(arguments: str) -> Any:
    """Returns arguments as the object they should be. What is none is shown as the value of a single one: a template would fail on it."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"arguments": arguments}


def _completed(tool: dict[str, Any]) -> dict[str, Any]:
    """Returns a tool with what templates read unasked: a description, and parameters that are an object with properties."""
    function = tool.get("function")
    if not isinstance(function, dict):
        return tool
    parameters = function.get("parameters") or {}
    if isinstance(parameters, dict):
        parameters = {"type": "object", "properties": {}} | {key: value for key, value in parameters.items() if value is not None}
    said = {key: value for key, value in function.items() if value is not None}
    return tool | {"function": {"name": "", "description": ""} | said | {"parameters": parameters}}


def _late_system_as_user(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Returns the conversation in which system messages behind others are what a user says, for a template that refuses them, or would
    pass over them.
    """
    head = next((at for at, message in enumerate(messages) if message.role != "system"), len(messages))
    return [*messages[:head], *_system_as_user(messages[head:])]


def _system_as_user(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Returns the conversation in which system messages are what a user says, for a template that has no place for them."""
    return [msgspec.structs.replace(message, role="user") if message.role == "system" else message for message in messages]


def _one_system(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Returns the conversation with the system messages at its head as one, for a template that takes one."""
    head = next((at for at, message in enumerate(messages) if message.role != "system"), len(messages))
    if head < 2:
        return list(messages)
    return [joined(messages[:head], "\n\n"), *messages[head:]]


def _alternating(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Returns the conversation in which what one side says in several messages is one, for a template that wants them to alternate."""
    merged: list[ChatMessage] = []
    for message in messages:
        last = merged[-1] if merged else None
        if last is not None and _is_speech(last) and _is_speech(message) and (last.role, last.name) == (message.role, message.name):
            both = joined((last, message), "\n\n")
            merged[-1] = msgspec.structs.replace(message, content=both.content, media=both.media)
        else:
            merged.append(message)
    return merged


def _shown_by_users(messages: Sequence[ChatMessage], traits: TemplateTraits) -> list[ChatMessage]:
    """Returns the conversation in which a user shows what results of tools do, where the template shows nothing in these: in a message of
    its own behind the results. Raises ``InvalidRequestError`` for what it shows nowhere.
    """
    placed: list[ChatMessage] = []
    waiting: list[Media] = []
    for message in messages:
        if waiting and message.role != "tool":
            placed.append(ChatMessage(role="user", content="", media=waiting))
            waiting = []
        hidden = [one for one in message.media if message.role not in traits.shows_media.get(one.kind, ())]
        waiting = [*waiting, *(_at_beginning(one, message, traits) for one in hidden)]
        left = [one for one in message.media if message.role in traits.shows_media.get(one.kind, ())]
        placed.append(msgspec.structs.replace(message, media=left) if hidden else message)
    return [*placed, ChatMessage(role="user", content="", media=waiting)] if waiting else placed


def _at_beginning(media: Media, message: ChatMessage, traits: TemplateTraits) -> Media:
    if message.role == "tool" and "user" in traits.shows_media.get(media.kind, ()):
        return msgspec.structs.replace(media, at=0)
    where = f"in what the {message.role} says" if traits.shows_media.get(media.kind) else "at all"
    raise InvalidRequestError(f"the model's chat template shows no {_NAMES[media.kind]} {where}", param=media.param)


def _is_speech(message: ChatMessage) -> bool:
    return message.role in {"user", "assistant"} and not message.tool_calls


def _variables(prompt: ChatPrompt, traits: TemplateTraits) -> dict[str, Any]:
    """Returns the client's variables, which count before what its ``reasoning_effort`` sets."""
    for name in prompt.variables:
        if name in _RESERVED or name.endswith("_token") or name.startswith("_"):
            raise InvalidRequestError(f'"{name}" is not for a request to set', param=f"chat_template_kwargs.{name}")
    return _of_effort(prompt.reasoning_effort, traits) | prompt.variables


def _of_effort(effort: str | None, traits: TemplateTraits) -> dict[str, Any]:
    """Returns the variables that an effort sets: the template's own, with the nearest value that it takes, and what switches thinking. A
    template that has neither is not asked.
    """
    if effort not in EFFORTS:
        return {}
    switches = {name: effort not in _OFF for name in _THINKING if name in traits.variables}
    if not traits.efforts:
        return switches
    nearest = min(traits.efforts, key=lambda taken: abs(EFFORTS.index(taken) - EFFORTS.index(effort)))
    return switches | {"reasoning_effort": nearest}


def _guarded(value: Any, guard: Callable[[str], str]) -> Any:
    """Returns a value with every string in it guarded, keys included."""
    match value:
        case str():
            return guard(value)
        case dict():
            return {guard(key): _guarded(one, guard) for key, one in value.items()}
        case list():
            return [_guarded(one, guard) for one in value]
    return value
