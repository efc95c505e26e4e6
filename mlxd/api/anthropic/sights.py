"""Blocks that show a picture, or a film."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf
from typing_extensions import override

from mlxd.api.anthropic.block import Block, Definitions
from mlxd.api.anthropic.leniency import IMAGE
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict, problem, quoted
from mlxd.api.media.asked import AskedMedia, Inline, Source
from mlxd.api.media.content import Content
from mlxd.api.media.parts import Fps, Frames
from mlxd.api.media.sources import check_media_type, sources_of
from mlxd.errors import UnsupportedParameterError
from mlxd.listener.json_text import json_type
from mlxd.media_terms import MediaKind

_FILE = '"file" is not supported: no files are stored here; send it as base64, or by a URL'


class MediaSource(Strict):
    """Where the file of a picture or film is. ``field`` is the one that has it."""

    kind: ClassVar[MediaKind]
    field: ClassVar[str]

    @property
    @abstractmethod
    def sources(self) -> Sequence[Source]:
        """Returns where the one file is, or its bytes."""

    def shown(self, _tools: Definitions, place: str) -> Content:
        """Returns what is to be seen; ``place`` is where the source is in the request."""
        return Content(media=[self.asked(place)])

    def asked(self, place: str, fps: float | None = None, max_frames: int | None = None) -> AskedMedia:
        """Returns what is to be seen, of a film so many frames."""
        param = f"{place}.{self.field}"
        return AskedMedia(kind=self.kind, files=[], param=param, fps=fps, max_frames=max_frames, sources=self.sources)


class _InRequest(MediaSource):
    """A file in the request."""

    field: ClassVar[str] = "data"

    type: Literal["base64"]
    data: Annotated[str, Field(min_length=1)]

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Inline(self.data)]


class _Elsewhere(MediaSource):
    """A file that a URL names."""

    field: ClassVar[str] = "url"

    type: Literal["url"]
    url: Any

    @property
    @override
    def sources(self) -> Sequence[Source]:
        found: Sequence[Source] = self.url
        return found


class InlineImage(_InRequest):
    """A picture in the request."""

    kind: ClassVar[MediaKind] = MediaKind.IMAGE

    media_type: Annotated[str, AfterValidator(partial(check_media_type, kind=MediaKind.IMAGE))]


class LinkedImage(_Elsewhere):
    """A picture that a URL names."""

    kind: ClassVar[MediaKind] = MediaKind.IMAGE

    url: Annotated[Any, BeforeValidator(partial(sources_of, kind=MediaKind.IMAGE), json_schema_input_type=str)]


class InlineFilm(_InRequest):
    """A film in the request."""

    kind: ClassVar[MediaKind] = MediaKind.VIDEO

    media_type: Annotated[str, AfterValidator(partial(check_media_type, kind=MediaKind.VIDEO))]


class LinkedFilm(_Elsewhere):
    """A film that a URL names."""

    kind: ClassVar[MediaKind] = MediaKind.VIDEO

    url: Annotated[Any, BeforeValidator(partial(sources_of, kind=MediaKind.VIDEO), json_schema_input_type=str)]


_IMAGES: Mapping[object, type[MediaSource]] = {"base64": InlineImage, "url": LinkedImage}
_FILMS: Mapping[object, type[MediaSource]] = {"base64": InlineFilm, "url": LinkedFilm}


def _source(value: object, kinds: Mapping[object, type[MediaSource]]) -> MediaSource:
    if not isinstance(value, dict):
        raise problem(f"must be an object, not {json_type(value)}")
    kind = value.get("type")
    if kind == "file":
        raise problem(_FILE, at=".type", error=UnsupportedParameterError)
    if not isinstance(kind, str) or kind not in kinds:
        raise problem(f'must be "base64" or "url", not {quoted(kind)}', at=".type")
    return kinds[kind].model_validate(value)


class ImageBlock(Block):
    """A block that shows a picture."""

    tolerated: ClassVar[Rules] = IMAGE

    type: Literal["image"]
    source: Annotated[
        InstanceOf[MediaSource],
        BeforeValidator(partial(_source, kinds=_IMAGES), json_schema_input_type=InlineImage | LinkedImage),
    ]

    @override
    def shown(self, tools: Definitions, place: str) -> Content:
        return self.source.shown(tools, f"{place}.source")


class FilmBlock(Block):
    """A block that shows a film, as Anthropic itself has none."""

    type: Literal["video"]
    source: Annotated[
        InstanceOf[MediaSource],
        BeforeValidator(partial(_source, kinds=_FILMS), json_schema_input_type=InlineFilm | LinkedFilm),
    ]
    fps: Fps | None = None
    max_frames: Frames | None = None

    @override
    def shown(self, tools: Definitions, place: str) -> Content:
        return Content(media=[self.source.asked(f"{place}.source", self.fps, self.max_frames)])
