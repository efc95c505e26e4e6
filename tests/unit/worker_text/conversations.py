"""Conversations as clients send them, and what the templates beside this file make of them."""

from pathlib import Path

from mlxd.types import ChatMessage, ToolCall
from mlxd.wire.prompts import ChatPrompt
from mlxd.worker.text.chat_encoder import rendered
from mlxd.worker.text.chat_template import ChatTemplate
from mlxd.worker.text.conversation import ChatFormat, conversation_of

TEMPLATES = Path(__file__).parent / "templates"
FAMILIES = sorted(path.stem for path in TEMPLATES.glob("*.jinja"))
VARIABLES = {"bos_token": "<BOS>", "eos_token": "<EOS>"}

_formats: dict[str, ChatFormat] = {}


def chat_format(family: str) -> ChatFormat:
    if family not in _formats:
        text = (TEMPLATES / f"{family}.jinja").read_text(encoding="utf-8")
        _formats[family] = ChatFormat.of(ChatTemplate(text, f"{family}.jinja", VARIABLES))
    return _formats[family]


def render(family: str, *messages: ChatMessage, **prompt) -> str:
    chat = chat_format(family)
    conversation = conversation_of(ChatPrompt(messages=list(messages), **prompt), chat.traits, str)
    return rendered(chat.renderer, conversation)


def system(text):
    return ChatMessage(role="system", content=text)


def user(text):
    return ChatMessage(role="user", content=text)


def says(text, *calls, reasoning=None):
    return ChatMessage(role="assistant", content=text, tool_calls=list(calls), reasoning=reasoning)


def call(name="get_weather", arguments='{"city": "Oslo"}', call_id="call_9f8e7d6c5b4a39281706f5e4"):
    return ToolCall(id=call_id, name=name, arguments=arguments)


def result(text, call_id="call_9f8e7d6c5b4a39281706f5e4", name=None):
    return ChatMessage(role="tool", content=text, tool_call_id=call_id, name=name)


def tool(name="get_weather", **function):
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"type": "function", "function": {"name": name, "description": "Tells.", "parameters": parameters} | function}
