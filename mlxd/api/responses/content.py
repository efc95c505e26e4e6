"""A message's content: a string, or a list of parts: texts, which are one text that was cut, and what is to be seen between them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, InstanceOf
from typing_extensions import override

from mlxd.api.fields.validation import problem, quoted
from mlxd.api.media.content import Content, joined
from mlxd.api.media.parts import FILMS, IMAGES, FilmFields, ImageFields, MediaFields
from mlxd.api.responses.past import Past
from mlxd.errors import UnsupportedParameterError
from mlxd.listener.json_text import json_type

_LATER = ("input_file", "file", "input_audio", "audio", "computer_screenshot")


class Part(Past):
    """A part of a message."""

    @property
    def content(self) -> str:
        """Returns the text that is content."""
        return ""

    def shown(self, place: str) -> Content:  # noqa: ARG002 - for those that name one
        """Returns what the model is shown of it; ``place`` is where it is in the request."""
        return Content(self.content)


class ImagePart(ImageFields, Part):
    """A part that shows a picture."""

    model_config = Past.model_config


class FilmPart(FilmFields, Part):
    """A part that shows a film."""

    model_config = Past.model_config


class TextPart(Part):
    """A text; of who asks, of the model, of a tool, and as chats write it."""

    type: Literal["input_text", "output_text", "text", "summary_text", "reasoning_text"]
    text: str

    @property
    @override
    def content(self) -> str:
        return self.text


class RefusalPart(Part):
    """What a model said instead of an answer."""

    type: Literal["refusal"]
    refusal: str

    @property
    @override
    def content(self) -> str:
        return self.refusal


_TEXTS: Mapping[object, type[Part]] = dict.fromkeys(("input_text", "output_text", "text"), TextPart)
_ALL: Mapping[object, type[Part]] = {
    **_TEXTS,
    "refusal": RefusalPart,
    **dict.fromkeys(IMAGES, ImagePart),
    **dict.fromkeys(FILMS, FilmPart),
}
_THOUGHTS: Mapping[object, type[Part]] = dict.fromkeys(("reasoning_text", "summary_text", "text"), TextPart)


def _part(value: object, kinds: Mapping[object, type[Part]]) -> Part:
    if isinstance(value, str):
        value = {"type": "text", "text": value}
    if not isinstance(value, dict):
        raise problem(f"must be an object, not {json_type(value)}")
    kind = value.get("type")
    if kind in _LATER:
        raise problem(f'"{kind}" is not supported yet; texts, pictures and films are', at=".type", error=UnsupportedParameterError)
    if not isinstance(kind, str) or kind not in kinds:
        raise problem(f"must be one of {', '.join(kinds)}, not {quoted(kind)}", at=".type")  # type: ignore[arg-type]
    return kinds[kind].model_validate(value)


def _listed(value: object) -> object:
    if value is None:
        return []
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, str | list):
        raise problem(f"must be a string or an array of parts, not {json_type(value)}")
    return [value] if isinstance(value, str) else value


_AnyPart = Annotated[InstanceOf[Part], BeforeValidator(lambda value: _part(value, _ALL))]
_Thought = Annotated[InstanceOf[Part], BeforeValidator(lambda value: _part(value, _THOUGHTS))]

Parts = Annotated[list[_AnyPart], Field(default_factory=list), BeforeValidator(_listed, json_schema_input_type=Any)]
Thoughts = Annotated[list[_Thought], Field(default_factory=list), BeforeValidator(_listed, json_schema_input_type=Any)]


def content_text(parts: Sequence[Part]) -> str:
    """Returns the content of the parts, joined without a separator."""
    return "".join(part.content for part in parts)


def shown_content(parts: Sequence[Part], place: str) -> Content:
    """Returns the content of the parts, joined without a separator; ``place`` is where their list is in the request."""
    if not any(isinstance(part, MediaFields) for part in parts):  # of texts there may be tens of thousands
        return Content(content_text(parts))
    return joined(part.shown(f"{place}[{number}]") for number, part in enumerate(parts))
