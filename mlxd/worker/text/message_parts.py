"""Messages as lists of parts, for templates that want them so: all of them, or only those that show something."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from typing_extensions import override

from mlxd.errors import InvalidRequestError
from mlxd.media_terms import Media, MediaKind
from mlxd.types import ChatMessage
from mlxd.worker.text.chat_template import ChatRenderer, Conversation, Message

_KEYS = ("text", "content")  # under which a part has its text: "content" in early Pixtral
_QUESTION = "question_probe"


class PartsRenderer(ChatRenderer):
    """A renderer that gives every message's text to another one as a part, under ``key``: that one shows no other text."""

    def __init__(self, renderer: ChatRenderer, key: str) -> None:
        self.origin = renderer.origin
        self.reads = renderer.reads
        self.spells = renderer.spells
        self._renderer = renderer
        self._key = key

    @override
    def render(self, conversation: Conversation) -> str:
        return self._renderer.render(replace(conversation, messages=[self._in_parts(message) for message in conversation.messages]))

    def _in_parts(self, message: Message) -> Message:
        content = message.get("content")
        return {**message, "content": [text_part(content, self._key)]} if isinstance(content, str) else message


def renderer_of_texts(renderer: ChatRenderer) -> ChatRenderer:
    """Returns a renderer that shows messages whose content is a text: the same, unless that wants them in parts."""
    if _shows(renderer, _QUESTION):
        return renderer
    for key in _KEYS:
        if _shows(renderer, [text_part(_QUESTION, key)]):
            return PartsRenderer(renderer, key)
    return renderer


def text_key(renderer: ChatRenderer) -> str:
    """Returns the key under which ``renderer`` looks for the text of a part."""
    return next((key for key in _KEYS if _shows(renderer, [text_part(_QUESTION, key)])), _KEYS[0])


def text_part(text: str, key: str) -> dict[str, str]:
    """Returns a part that is nothing but text."""
    return {"type": "text", key: text}


def media_part(kind: MediaKind) -> dict[str, str]:
    """Returns a part that is a picture or a film."""
    return {"type": str(kind)}


def parts_of(message: ChatMessage, key: str) -> list[dict[str, str]]:
    """Returns what a message says and shows, in its order."""
    return [*_parts(message.content, message.media, key)]


def _parts(content: str, media: Sequence[Media], key: str) -> Iterator[dict[str, str]]:
    begin = 0
    for one in media:
        if one.at > begin:
            yield text_part(content[begin : one.at], key)
            begin = one.at
        yield media_part(one.kind)
    if content[begin:]:
        yield text_part(content[begin:], key)


def _shows(renderer: ChatRenderer, content: Any) -> bool:
    """Tells whether a user's message of such content is shown, alone or behind a system message, whatever the case of its letters."""
    user: Mapping[str, Any] = {"role": "user", "content": content}
    for messages in ([user], [{"role": "system", "content": content}, user]):
        try:
            rendered = renderer.render(Conversation(messages))
        except InvalidRequestError:
            continue
        if _QUESTION in rendered.lower():
            return True
    return False
