"""The pictures and films of a prompt, from what a processor made of each to where they are among its tokens."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from mlxd.errors import InvalidRequestError
from mlxd.media_terms import Media
from mlxd.worker.encoded_prompt import MediaInput, MediaSpan
from mlxd.worker.text.media_processor import SeenMedia


class Seen:
    """What has been made of the media of one prompt; the same, shown twice, was processed once."""

    def __init__(self, pairs: Iterable[tuple[Media, SeenMedia]] = ()) -> None:
        self._made = {_what(media): seen for media, seen in pairs}

    def of(self, media: Sequence[Media]) -> list[SeenMedia]:
        """Returns what was made of each, wherever in its message it is now."""
        return [self._made[_what(one)] for one in media]


NOTHING = Seen()


@dataclass(frozen=True)
class PlacedMedia:
    """The tokens of a prompt, with a placeholder for each embedding."""

    tokens: list[int]
    spans: tuple[MediaSpan, ...] = ()
    inputs: tuple[MediaInput, ...] = ()

    @classmethod
    def of(cls, tokens: Sequence[int], seen: Sequence[SeenMedia], fillers: Collection[int]) -> "PlacedMedia":
        """Lets each filler stand for a whole span. Raises ``InvalidRequestError`` where there are more or fewer of them than spans."""
        spans = [span for one in seen for span in one.spans]
        at = [index for index, token in enumerate(tokens) if token in fillers]
        if len(at) != len(spans):
            raise InvalidRequestError(
                f"the prompt has {len(at)} placeholders where its pictures and films need {len(spans)}", param="messages"
            )
        return cls([*_repeated(tokens, at, spans)], tuple(_moved(at, spans)), _each_once(seen))


def _what(media: Media) -> tuple[object, ...]:
    return (media.kind, tuple(media.files), media.detail, media.fps, media.max_frames)


def distinct(media: Iterable[Media]) -> list[Media]:
    """Returns one of each picture and film that is processed alike."""
    return [*{_what(one): one for one in media}.values()]


def _repeated(tokens: Sequence[int], at: Sequence[int], spans: Sequence[MediaSpan]) -> Iterator[int]:
    begin = 0
    for index, span in zip(at, spans, strict=True):
        yield from tokens[begin:index]
        yield from [tokens[index]] * len(span)
        begin = index + 1
    yield from tokens[begin:]


def _moved(at: Sequence[int], spans: Sequence[MediaSpan]) -> Iterator[MediaSpan]:
    grown = 0
    for index, span in zip(at, spans, strict=True):
        yield msgspec.structs.replace(span, start=index + grown, stop=index + grown + len(span))
        grown += len(span) - 1


def _each_once(seen: Sequence[SeenMedia]) -> tuple[MediaInput, ...]:
    return tuple({one.input.content: one.input for one in seen}.values())
