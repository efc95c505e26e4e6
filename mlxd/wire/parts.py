"""Parts of an answer, in the order in which the model wrote them: what output parsers make of its text."""

from collections.abc import Sequence

import msgspec


class _Part(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A part of an answer, tagged by its class name."""


class Text(_Part, frozen=True, kw_only=True):
    """More of the answer's content; never empty."""

    text: str


class Reasoning(_Part, frozen=True, kw_only=True):
    """More of what the model thought before it answered; never empty."""

    text: str


class ToolCallBegun(_Part, frozen=True, kw_only=True):
    """The model calls a tool. ``index`` counts the answer's calls from 0."""

    index: int
    id: str
    name: str


class ToolCallArguments(_Part, frozen=True, kw_only=True):
    """More of the JSON text of a call's arguments; never empty."""

    index: int
    text: str


Part = Text | Reasoning | ToolCallBegun | ToolCallArguments


def text_parts(text: str) -> list[Part]:
    """Returns ``text`` as content; no part where it is empty."""
    return [Text(text=text)] if text else []


def content_of(parts: Sequence[Part]) -> str:
    """Returns the parts' content, joined: without reasoning and calls."""
    return "".join(part.text for part in parts if isinstance(part, Text))


def joined(parts: Sequence[Part]) -> list[Part]:
    """Returns the same parts with neighbours of one kind made one, so that a delta of many tokens is as small as one of few."""
    result: list[Part] = []
    for part in parts:
        last = result[-1] if result else None
        if isinstance(part, Text) and isinstance(last, Text):
            result[-1] = Text(text=last.text + part.text)
        elif isinstance(part, Reasoning) and isinstance(last, Reasoning):
            result[-1] = Reasoning(text=last.text + part.text)
        elif isinstance(part, ToolCallArguments) and isinstance(last, ToolCallArguments) and part.index == last.index:
            result[-1] = ToolCallArguments(index=part.index, text=last.text + part.text)
        else:
            result.append(part)
    return result
