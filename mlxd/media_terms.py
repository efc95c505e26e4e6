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
