"""Pictures and films as requests name them, before anybody has their files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from mlxd.media_terms import Media


@dataclass(frozen=True)
class Inline:
    """A file in the request itself: its base64 text."""

    text: str

    @property
    def size(self) -> int:
        """Returns how many bytes it has, three for each four characters."""
        return len(self.text) // 4 * 3 - self.text[-2:].count("=")


@dataclass(frozen=True)
class Remote:
    """A file that is to be fetched."""

    url: str


Source = Inline | Remote


class AskedMedia(Media, frozen=True, kw_only=True):
    """A picture or film whose ``files`` are still to come, from its ``sources`` in order. It is never sent to a worker."""

    sources: Sequence[Source]

    @property
    def inline(self) -> int:
        """Returns how many characters of the request its files take."""
        return sum(len(source.text) for source in self.sources if isinstance(source, Inline))

    def param_of(self, number: int) -> str:
        """Names the part of the request that the source of this number is of."""
        return self.param if len(self.sources) == 1 else f"{self.param}[{number}]"

    def seen(self, files: list[bytes], *, max_frames: int, max_pixels: int) -> Media:
        """Returns it with its files, and with what there may be of frames and pixels."""
        frames = max_frames if self.max_frames is None else min(self.max_frames, max_frames)
        own = {name: getattr(self, name) for name in Media.__struct_fields__}
        return Media(**own | {"files": files, "max_frames": frames, "max_pixels": max_pixels})


def asked_of(media: Iterable[Media]) -> list[AskedMedia]:
    """Returns those whose files are still to come."""
    return [one for one in media if isinstance(one, AskedMedia)]


def moved(media: Media, by: int) -> Media:
    """Returns it so many characters further on; 0 is the least."""
    return msgspec.structs.replace(media, at=max(0, media.at + by)) if by else media
