"""Parts of messages that show a picture or a film, as OpenAI's APIs and their descendants write them."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, InstanceOf, model_validator
from typing_extensions import override

from mlxd.api.fields.sampling import Whole
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict, problem
from mlxd.api.media.asked import AskedMedia, Source
from mlxd.api.media.content import Content
from mlxd.api.media.leniency import FILM_PART, FILM_URL, MEDIA_PART, MEDIA_URL
from mlxd.api.media.sources import sources_of
from mlxd.config.values import MOST
from mlxd.listener.json_text import json_type
from mlxd.media_terms import MediaKind

_MOST_FPS = 1000

Detail = Literal["auto", "low", "high"]
Fps = Annotated[float, Field(gt=0, le=_MOST_FPS)]
Frames = Annotated[int, Whole, Field(ge=1, le=MOST)]


def _detail(value: object) -> object:
    return "high" if value == "original" else value  # as large as a model takes it


_Detail = Annotated[Detail, BeforeValidator(_detail, json_schema_input_type=Literal["auto", "low", "high", "original"])]


class ImageUrl(Strict):
    """Where a picture is, and how closely it is to be looked at."""

    tolerated: ClassVar[Rules] = MEDIA_URL

    url: Annotated[Any, BeforeValidator(partial(sources_of, kind=MediaKind.IMAGE), json_schema_input_type=str)]
    detail: _Detail | None = None

    def wishes(self) -> dict[str, Any]:
        """Returns what is asked for beside it, as ``AskedMedia`` has it."""
        return {"detail": self.detail}


class FilmUrl(Strict):
    """Where a film is, and how many of its frames are to be looked at."""

    tolerated: ClassVar[Rules] = FILM_URL

    url: Annotated[Any, BeforeValidator(partial(sources_of, kind=MediaKind.VIDEO), json_schema_input_type=str)]
    fps: Fps | None = None
    max_frames: Frames | None = None

    def wishes(self) -> dict[str, Any]:
        """Returns what is asked for beside it, as ``AskedMedia`` has it."""
        return {"fps": self.fps, "max_frames": self.max_frames}


_URLS: Mapping[MediaKind, type[ImageUrl | FilmUrl]] = {MediaKind.IMAGE: ImageUrl, MediaKind.VIDEO: FilmUrl}


@dataclass(frozen=True)
class Reference:
    """Where the file of something is, or those of its frames. ``at`` leads on from the field to the URL."""

    sources: Sequence[Source]
    at: str = ""
    wishes: Mapping[str, Any] = field(default_factory=dict)  # what is said beside it


def _reference(value: object, kind: MediaKind) -> Reference:
    if isinstance(value, dict):
        told = _URLS[kind].model_validate(value)
        return Reference(told.url, ".url", told.wishes())
    if isinstance(value, list) and kind is MediaKind.VIDEO:
        return Reference(list(_frames(value)))
    if not isinstance(value, str):
        raise problem(f"must be a URL, or an object with one, not {json_type(value)}")
    return Reference(sources_of(value, kind))


def _frames(urls: Sequence[object]) -> Iterator[Source]:
    if not urls:
        raise problem("must not be empty")
    for number, url in enumerate(urls):
        yield from sources_of(url, MediaKind.IMAGE, at=f"[{number}]")


_Image = Annotated[
    InstanceOf[Reference],
    BeforeValidator(partial(_reference, kind=MediaKind.IMAGE), json_schema_input_type=str | ImageUrl),
]
_Film = Annotated[
    InstanceOf[Reference],
    BeforeValidator(partial(_reference, kind=MediaKind.VIDEO), json_schema_input_type=str | list[str] | FilmUrl),
]


class MediaFields(Strict):
    """What both kinds of parts have in common: one of several fields names what is shown."""

    kind: ClassVar[MediaKind]
    naming: ClassVar[Sequence[str]]

    @model_validator(mode="after")
    def _one_is_named(self) -> Self:
        named = [name for name in self.naming if getattr(self, name) is not None]
        if not named:
            raise problem("is required", at=f".{self.naming[0]}")
        if len(named) > 1:
            raise problem(f"and {named[0]} name what is to be shown; give one of them", at=f".{named[1]}")
        return self

    @abstractmethod
    def wishes(self) -> dict[str, Any]:
        """Returns what is asked for in the part, as ``AskedMedia`` has it; None where nothing is."""

    def shown(self, place: str) -> Content:
        """Returns what is shown; ``place`` is where the part is in the request."""
        name, reference = next((name, found) for name in self.naming if (found := getattr(self, name)) is not None)
        wishes = _given(reference.wishes) | _given(self.wishes())
        param = f"{place}.{name}{reference.at}"
        return Content(media=[AskedMedia(kind=self.kind, files=[], param=param, sources=reference.sources, **wishes)])


class ImageFields(MediaFields):
    """A picture: by ``image_url``, as OpenAI has it, or as Hugging Face's templates and Qwen's clients do."""

    tolerated: ClassVar[Rules] = MEDIA_PART
    kind: ClassVar[MediaKind] = MediaKind.IMAGE
    naming: ClassVar[Sequence[str]] = ("image_url", "image", "url")

    type: Literal["image_url", "input_image", "image"]
    detail: _Detail | None = None
    image_url: _Image | None = None
    image: _Image | None = None
    url: _Image | None = None

    @override
    def wishes(self) -> dict[str, Any]:
        return {"detail": self.detail}


class FilmFields(MediaFields):
    """A film: a file, or a list of its frames, as vLLM's and Qwen's clients send it."""

    tolerated: ClassVar[Rules] = FILM_PART
    kind: ClassVar[MediaKind] = MediaKind.VIDEO
    naming: ClassVar[Sequence[str]] = ("video_url", "video", "url")

    type: Literal["video_url", "input_video", "video"]
    fps: Fps | None = None
    max_frames: Frames | None = None
    video_url: _Film | None = None
    video: _Film | None = None
    url: _Film | None = None

    @override
    def wishes(self) -> dict[str, Any]:
        return {"fps": self.fps, "max_frames": self.max_frames}


def _given(wishes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: wish for name, wish in wishes.items() if wish is not None}


IMAGES = ("image_url", "input_image", "image")
FILMS = ("video_url", "input_video", "video")
