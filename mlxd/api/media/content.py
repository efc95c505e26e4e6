"""What a message says and shows: a text, and pictures and films at their places in it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlxd.api.media.asked import moved
from mlxd.media_terms import Media


@dataclass(frozen=True)
class Content:
    """A text, with ``media`` in order, each behind as many characters of the text as it says."""

    text: str = ""
    media: Sequence[Media] = ()

    def __bool__(self) -> bool:
        """Tells whether there is anything."""
        return bool(self.text or self.media)

    def behind(self, head: str) -> "Content":
        """Returns it with a text before it."""
        return Content(head + self.text, [moved(one, len(head)) for one in self.media])

    @property
    def begins_with_text(self) -> bool:
        """Tells whether no picture comes first."""
        return bool(self.text) and not (self.media and self.media[0].at == 0)

    @property
    def ends_with_text(self) -> bool:
        """Tells whether no picture comes last."""
        return bool(self.text) and not (self.media and self.media[-1].at == len(self.text))


def joined(contents: Iterable[Content], between: str = "") -> Content:
    """Returns the contents, one behind the other. ``between`` sets texts apart that meet; beside a picture there is none."""
    texts: list[str] = []
    media: list[Media] = []
    length, is_open = 0, False  # a text is last
    for content in filter(None, contents):
        if is_open and content.begins_with_text:
            texts.append(between)
            length += len(between)
        media += [moved(one, length) for one in content.media]
        texts.append(content.text)
        length, is_open = length + len(content.text), content.ends_with_text
    return Content("".join(texts), media)
