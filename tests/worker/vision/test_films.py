"""Films of every container: the frames that are asked for, and no others, in bounded memory."""

import tracemalloc

import numpy as np
import pytest

from mlxd.errors import InvalidRequestError
from mlxd.worker.runtime.vision import films
from mlxd.worker.runtime.vision.films import open_film
from tests.support.film_files import STEP, brightness, filmed

FILMS = {
    "MP4": ("mp4", "libx264"),
    "MOV": ("mov", "libx264"),
    "Matroska": ("matroska", "libx264"),
    "WebM": ("webm", "libvpx-vp9"),
    "AVI": ("avi", "mpeg4"),
    "AVI whose frames are in another order": ("avi", "libx264"),
    "MPEG-TS": ("mpegts", "libx264"),  # which cannot be sought in memory
    "FLV": ("flv", "libx264"),
    "OGG": ("ogg", "libvpx"),
    "MPEG-2": ("mpegts", "mpeg2video"),
}
PIXELS = 10**6


def looked_at(data, numbers=None):
    """The facts of a film, and which frames are seen, told by how bright they are."""
    with open_film(data, PIXELS, "part") as film:
        numbers = range(film.facts.frames) if numbers is None else numbers
        return film.facts, [nearest(frame.mean()) for frame in film.frames(numbers)]


def nearest(mean):
    return min(range(36), key=lambda number: abs(brightness(number) - mean))


@pytest.mark.parametrize("form", FILMS)
def test_frames_by_their_numbers(form):
    facts, seen = looked_at(filmed(*FILMS[form]), wanted := [0, 1, 5, 13, 14, 25, 29])
    assert (facts.frames, facts.rate, facts.width, facts.height) == (30, 10.0, 64, 48)
    assert all(abs(found - number) <= (FILMS[form][1] == "mpeg4") for found, number in zip(seen, wanted, strict=True)), seen


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_shortest_films(count):
    facts, seen = looked_at(filmed(frames=count))
    assert (facts.frames, seen) == (count, list(range(count)))


def test_frames_are_those_of_their_time_where_the_rate_varies():
    """Ten frames in the first second, then one a second: half of an even share of numbers is in the slow part."""
    times = [*range(0, 1000, 100), *range(1000, 11_000, 1000)]
    facts, seen = looked_at(filmed(frames=20, times=times), range(0, 20, 2))
    assert facts.frames == 20
    step = times[-1] / 19
    at = [max(place for place, time in enumerate(times) if time <= (number + 0.25) * step) for number in range(0, 20, 2)]
    assert seen == at
    assert sum(place >= 10 for place in seen) > 7


def test_turned_as_the_camera_was_held(monkeypatch):
    class Turned:
        rotation = -90.0

        def to_ndarray(self, **_):
            return np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)

    assert films._pixels(Turned()).shape == (3, 2, 3)


def test_what_is_promised_and_not_there_is_the_last_that_is():
    whole = filmed("matroska", frames=24)
    with open_film(whole, PIXELS, "part") as film:
        film._source = type(film._source)(filmed("matroska", frames=10), "matroska", PIXELS, "part")
        assert [nearest(frame.mean()) for frame in film.frames([4, 20])] == [4, 9]


def test_it_ends_where_decoding_takes_too_long(monkeypatch):
    monkeypatch.setattr(films, "_SECONDS", 0.0)
    with pytest.raises(InvalidRequestError, match="to decode this film takes more than 0 seconds"):
        looked_at(filmed())


def test_it_ends_where_there_are_too_many_packets(monkeypatch):
    monkeypatch.setattr(films, "_PACKETS", 29)
    with pytest.raises(InvalidRequestError, match="more than 29 frames"):
        looked_at(filmed())


def test_a_frame_that_is_larger_than_the_file_said_is_not_decoded():
    """Its size is in the stream, and another one in the container's header."""
    large = filmed(frames=2, size=(640, 480))
    with open_film(large, 640 * 480, "part") as film:
        film._source = type(film._source)(large, "mov", 64 * 48, "part")
        with pytest.raises(InvalidRequestError, match="is damaged"):
            next(film.frames([0]))


def test_of_a_long_film_only_what_is_looked_at_is_kept():
    """Frames are of one megabyte, forty of them: memory that Python counts stays at a few."""
    data = filmed("mp4", "mpeg4", frames=40, size=(704, 480))
    tracemalloc.start()
    try:
        with open_film(data, PIXELS, "part") as film:
            for frame in film.frames(range(0, 40, 4)):
                assert frame.shape == (480, 704, 3)
        assert tracemalloc.get_traced_memory()[1] < 6 * 480 * 704 * 3
    finally:
        tracemalloc.stop()


def test_brightness_tells_frames_apart():
    assert len({brightness(number) for number in range(36)}) == 36
    assert STEP > 3
