"""What prompts show, as the rest of the API deals with it."""

from collections.abc import Iterator
from typing import Any

import msgspec

from mlxd.media_terms import Media
from mlxd.wire.prompts import ChatPrompt, Prompt


def media_of(prompt: Prompt) -> Iterator[Media]:
    """Yields what the prompt shows, in order."""
    if isinstance(prompt, ChatPrompt):
        for message in prompt.messages:
            yield from message.media


def media_size(prompt: Prompt) -> int:
    """Returns how many bytes its pictures and films have."""
    return sum(map(_size, media_of(prompt)))


def described(prompt: Prompt) -> Any:
    """Returns the prompt as a log shows it: of its pictures and films, how large they are."""
    if not isinstance(prompt, ChatPrompt):
        return msgspec.to_builtins(prompt)
    spoken = [msgspec.structs.replace(message, media=[]) if message.media else message for message in prompt.messages]
    told = msgspec.to_builtins(msgspec.structs.replace(prompt, messages=spoken))
    for message, shown in zip(told["messages"], prompt.messages, strict=True):
        if shown.media:
            message["media"] = [{"kind": one.kind.value, "at": one.at, "bytes": _size(one)} for one in shown.media]
    return told


def _size(media: Media) -> int:
    return sum(map(len, media.files))
