"""A message's content: a string, or a list of parts: texts, which are one text that was cut, and what is to be seen between them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, InstanceOf
from typing_extensions import override

from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict, problem
from mlxd.api.media.content import Content, joined
from mlxd.api.media.parts import FILMS, IMAGES, FilmFields, ImageFields, MediaFields
from mlxd.api.openai.leniency import REASONING_PART, TEXT_PART
from mlxd.errors import UnsupportedParameterError
from mlxd.listener.json_text import json_type

_LATER = ("input_audio", "audio", "audio_url", "file", "input_file")


class ContentPart(Strict):
    """A part of a message."""

    @property
    def content(self) -> str:
        """Returns the text that is content."""
        return ""

    @property
    def thought(self) -> str:
        """Returns the text that is reasoning."""
        return ""

    def shown(self, place: str) -> Content:  # noqa: ARG002 - for those that name one
        """Returns what the model is shown of it; ``place`` is where it is in the request."""
        return Content(self.content)


class ImagePart(ImageFields, ContentPart):
    """A part that shows a picture."""


class FilmPart(FilmFields, ContentPart):
    """A part that shows a film."""


class TextPart(ContentPart):
    """A part of content. Two of its types are how the Responses API writes it."""

    tolerated: ClassVar[Rules] = TEXT_PART

    type: Literal["text", "input_text", "output_text"]
    text: str

    @property
    @override
    def content(self) -> str:
        return self.text


class RefusalPart(ContentPart):
    """What a model said instead of an answer."""

    type: Literal["refusal"]
    refusal: str

    @property
    @override
    def content(self) -> str:
        return self.refusal


def _joined(value: object) -> object:
    texts = [part.get("text") for part in value if isinstance(part, dict)] if isinstance(value, list) else []
    return "".join(text for text in texts if isinstance(text, str)) if isinstance(value, list) else value


class ReasoningPart(ContentPart):
    """What a model thought, as Anthropic, Mistral (a list of text parts) and client libraries write it among the parts of an answer."""

    tolerated: ClassVar[Rules] = REASONING_PART

    type: Literal["thinking", "reasoning"]
    thinking: Annotated[str, BeforeValidator(_joined)] | None = None
    reasoning: str | None = None
    text: str | None = None

    @property
    @override
    def thought(self) -> str:
        return self.thinking or self.reasoning or self.text or ""


_TEXTS: Mapping[str, type[ContentPart]] = dict.fromkeys(("text", "input_text", "output_text"), TextPart)
_SEEN: Mapping[str, type[ContentPart]] = {**_TEXTS, **dict.fromkeys(IMAGES, ImagePart), **dict.fromkeys(FILMS, FilmPart)}
_ANSWERS: Mapping[str, type[ContentPart]] = {**_TEXTS, "refusal": RefusalPart, "thinking": ReasoningPart, "reasoning": ReasoningPart}


def _part(value: object, kinds: Mapping[str, type[ContentPart]]) -> ContentPart:
    if not isinstance(value, dict):
        raise problem(f"must be an object, not {json_type(value)}")
    kind = value.get("type")
    if kind in _LATER:
        raise problem(f'"{kind}" is not supported yet; texts, pictures and films are', at=".type", error=UnsupportedParameterError)
    if kind in (*IMAGES, *FILMS) and kind not in kinds:
        raise problem(f'"{kind}" is not supported here; what users and tools show may be seen', at=".type", error=UnsupportedParameterError)
    if not isinstance(kind, str) or kind not in kinds:
        raise problem('must be "text"', at=".type")
    return kinds[kind].model_validate(value)


def _listed(value: object) -> object:
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if not isinstance(value, list):
        raise problem(f"must be a string or an array of parts, not {json_type(value)}")
    return value


def _something(value: object) -> object:
    if value == []:
        raise problem("must not be an empty array")
    return _listed(value)


def _perhaps_nothing(value: object) -> object:
    return [] if value is None else _listed(value)


_TextPart = Annotated[InstanceOf[ContentPart], BeforeValidator(lambda value: _part(value, _TEXTS))]
_SeenPart = Annotated[InstanceOf[ContentPart], BeforeValidator(lambda value: _part(value, _SEEN))]
_AnswerPart = Annotated[InstanceOf[ContentPart], BeforeValidator(lambda value: _part(value, _ANSWERS))]

Texts = Annotated[list[_TextPart], BeforeValidator(_something, json_schema_input_type=str | list[_TextPart])]  # of who instructs
Seen = Annotated[list[_SeenPart], BeforeValidator(_something, json_schema_input_type=str | list[_SeenPart])]  # of who asks
Results = Annotated[  # of a tool, which may say nothing
    list[_SeenPart], Field(default_factory=list), BeforeValidator(_perhaps_nothing, json_schema_input_type=str | list[_SeenPart] | None)
]
Answers = Annotated[  # of a model, which may only have called tools
    list[_AnswerPart], Field(default_factory=list), BeforeValidator(_perhaps_nothing, json_schema_input_type=str | list[_AnswerPart] | None)
]


def content_text(parts: Sequence[ContentPart]) -> str:
    """Returns the content of the parts, joined without a separator."""
    return "".join(part.content for part in parts)


def shown_content(parts: Sequence[ContentPart], place: str) -> Content:
    """Returns the content of the parts, joined without a separator; ``place`` is where their list is in the request."""
    if not any(isinstance(part, MediaFields) for part in parts):  # of texts there may be tens of thousands
        return Content(content_text(parts))
    return joined(part.shown(f"{place}[{number}]") for number, part in enumerate(parts))


def thought_text(parts: Sequence[ContentPart]) -> str:
    """Returns what was thought, joined without a separator."""
    return "".join(part.thought for part in parts)
