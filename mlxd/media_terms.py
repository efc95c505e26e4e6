"""Pictures and films of a conversation, as clients send them. Frozen values, which travel as those of ``types``."""

from enum import StrEnum
from typing import Literal

import msgspec


class MediaKind(StrEnum):
    """What is to be seen."""

    IMAGE = "image"
    VIDEO = "video"


class Media(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A picture or a film that a message shows behind the first ``at`` characters of its content; those at the same place follow each
    other.

    ``files`` is the content of its one file, in whatever format; a film may also be several pictures, each of them a frame. ``param`` is
    the part of the client's request that it came in, for whatever is wrong with it.
    """

    kind: MediaKind
    files: list[bytes]
    at: int = 0
    param: str = "messages"
    detail: Literal["auto", "low", "high"] = "auto"
    fps: float | None = None  # frames of a film a second that are looked at; None: as the model's processor does by itself
    max_frames: int | None = None  # so many of them at most: as asked for, within what is allowed
    max_pixels: int | None = None  # of the picture, or of each frame, as its file has it: more are refused before any is decoded


class MediaFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a model has seen since its worker began, and the embeddings that it keeps of that, as those of its cache."""

    images: int = 0  # of requests that have begun
    videos: int = 0
    tokens: int = 0  # of their prompts, that stand for these
    hits: int = 0  # looked for, and encoded already, or just then
    misses: int = 0
    encoded: int = 0
    failed: int = 0  # to be encoded
    encode_seconds: float = 0.0
    evicted: int = 0  # embeddings that were let go
    kept: int = 0  # pictures and films whose embeddings there are
    bytes: int = 0  # of these
    limit_bytes: int = 0  # beyond which none are kept that nobody needs
