"""Messages put together, and added to, with what is to be seen in them at its place."""

from collections.abc import Iterator, Sequence

import msgspec

from mlxd.media_terms import Media
from mlxd.types import ChatMessage


def joined(messages: Sequence[ChatMessage], between: str) -> ChatMessage:
    """Returns the first message with what the others say and show behind it."""
    first, *others = messages
    for other in others:
        shift = len(first.content) + len(between)
        content = f"{first.content}{between}{other.content}"
        first = msgspec.structs.replace(first, content=content, media=[*first.media, *_shifted(other.media, shift)])
    return first


def behind(message: ChatMessage, text: str) -> ChatMessage:
    """Returns the message with ``text`` before it."""
    return msgspec.structs.replace(message, content=text + message.content, media=[*_shifted(message.media, len(text))])


def _shifted(media: Sequence[Media], by: int) -> Iterator[Media]:
    return (msgspec.structs.replace(one, at=one.at + by) for one in media)
