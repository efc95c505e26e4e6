"""A film of one file, or of several pictures: its frames, and their times."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlxd.errors import InvalidRequestError
from mlxd.media_terms import Media
from mlxd.worker.runtime.vision.film_sampling import FilmFacts
from mlxd.worker.runtime.vision.films import Frame, open_film
from mlxd.worker.runtime.vision.pictures import most_pixels, read_picture

_MOST_FRAMES = 768  # of a film, where nobody allows fewer
_RATE = 2.0  # of pictures that are frames, where nobody says how many make a second


@dataclass(frozen=True)
class Clip:
    """The frames of ``numbers`` among all that ``facts`` tell of."""

    facts: FilmFacts
    numbers: Sequence[int]
    frames: Callable[[], Iterator[Frame]]

    @property
    def rate(self) -> float:
        """Returns the frames a second that the film has."""
        return self.facts.rate

    @property
    def sampled_rate(self) -> float:
        """Returns the frames a second that are looked at."""
        return len(self.numbers) / self.facts.frames * self.facts.rate

    def times(self, group: int) -> list[float]:
        """Returns the seconds at the middle of each group of frames; the last frame fills the last group."""
        padded = [*self.numbers, *[self.numbers[-1]] * (-len(self.numbers) % group)]
        seconds = [number / self.rate for number in padded]
        return [(seconds[at] + seconds[at + group - 1]) / 2 for at in range(0, len(seconds), group)]


def most_frames(media: Media) -> int:
    """Returns how many frames of a film are looked at, at most."""
    return _MOST_FRAMES if media.max_frames is None else media.max_frames


@contextmanager
def open_clip(media: Media, choose: Callable[[FilmFacts], Sequence[int]]) -> Iterator[Clip]:
    """Opens a film, and chooses the frames that are looked at. Of pictures that are frames, all are: who sent them has chosen.

    Raises ``InvalidRequestError``.
    """
    if len(media.files) == 1:
        with open_film(media.files[0], most_pixels(media), media.param) as film:
            numbers = choose(film.facts)
            yield Clip(film.facts, numbers, lambda: film.frames(numbers))
    else:
        yield _of_pictures(media)


def _of_pictures(media: Media) -> Clip:
    if not media.files:
        raise InvalidRequestError("this film has no frames", param=media.param)
    most = most_frames(media)
    if len(media.files) > most:
        raise InvalidRequestError(f"{len(media.files)} frames are more than the {most} that are looked at", param=media.param)
    first = read_picture(media.files[0], most_pixels(media), media.param)
    rate = _RATE if media.fps is None else media.fps
    facts = FilmFacts(len(media.files), rate, first.width, first.height)

    def frames() -> Iterator[Any]:
        for index, file in enumerate(media.files):
            frame = read_picture(file, most_pixels(media), media.param)
            if frame.size != first.size:
                sizes = f"{frame.width} x {frame.height}, and the first {first.width} x {first.height}"
                raise InvalidRequestError(f"frame {index} of this film is {sizes}: all have to be of one size", param=media.param)
            yield np.asarray(frame)

    return Clip(facts, range(len(media.files)), frames)
