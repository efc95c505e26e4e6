"""A chat's messages: from OpenAI's shape to the wire's."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mlxd.api.openai.unsupported import ANSWERED, MESSAGE, without_neutral
from mlxd.api.openai.validation import Strict, problem
from mlxd.errors import InvalidRequestError, UnknownParameterError, UnsupportedParameterError, excerpt
from mlxd.listener.json_text import json_type
from mlxd.types import ChatMessage

MAX_MESSAGES = 10_000

_LATER_ROLES = ("tool", "function")
_PART_FIELDS = frozenset({"type", "text", "cache_control"})
_LATER_PARTS = ("image_url", "image", "input_image", "input_audio", "audio", "video_url", "video", "file", "refusal")


def _joined(content: object) -> str:
    """Returns a string, or the text parts of a list joined without a separator (they are one text that was cut)."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise problem(f"must be a string or an array of text parts, not {json_type(content)}")
    if not content:
        raise problem("must not be an empty array")
    return "".join(_part(part, f"[{index}]") for index, part in enumerate(content))


def _part(part: object, at: str) -> str:
    if not isinstance(part, dict):
        raise problem(f"must be an object, not {json_type(part)}", at=at)
    kind, text = part.get("type"), part.get("text")
    if kind in _LATER_PARTS:
        raise problem(f'"{kind}" is not supported yet; only parts of type "text" are', at=f"{at}.type", error=UnsupportedParameterError)
    if kind != "text":
        raise problem('must be "text"', at=f"{at}.type")
    if not isinstance(text, str):
        raise problem(f"must be a string, not {json_type(text)}", at=f"{at}.text")
    unknown = next((name for name in part if name not in _PART_FIELDS), None)
    if unknown is not None:
        raise problem("is an unknown field", at=f"{at}.{excerpt(unknown)}", error=UnknownParameterError)
    return text


class Message(Strict):
    """A message of a chat. ``developer`` is OpenAI's newer name of ``system``."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_joined)]
    name: Annotated[str, Field(min_length=1, max_length=64)] | None = None

    def to_wire(self) -> ChatMessage:
        """Returns the message as the chat template sees it."""
        return ChatMessage(role="system" if self.role == "developer" else self.role, content=self.content, name=self.name)


def without_unsupported(messages: object) -> object:
    """Returns the messages without fields that ask for nothing; anything of another shape is left for ``Message`` to refuse.

    Raises ``InvalidRequestError`` naming the message and field that is not supported yet.
    """
    if not isinstance(messages, list):
        return messages
    if len(messages) > MAX_MESSAGES:
        raise InvalidRequestError(f"messages may have at most {MAX_MESSAGES} items, not {len(messages)}", param="messages")
    return [_message(message, f"messages[{index}].") for index, message in enumerate(messages)]


def _message(message: object, where: str) -> Any:
    if not isinstance(message, dict):
        return message
    if message.get("role") in _LATER_ROLES:
        raise UnsupportedParameterError(f'{where}role: "{message["role"]}" messages are not supported yet', param=f"{where}role")
    if message.get("role") != "assistant":
        return without_neutral(message, MESSAGE, where)
    answered = without_neutral(message, ANSWERED, where)
    if answered.get("content") in (None, []):  # of an answer that was nothing but calls, or nothing at all
        answered["content"] = ""
    return answered
