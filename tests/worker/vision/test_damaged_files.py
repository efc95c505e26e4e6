"""Files of every kind with bytes that are wrong or missing are seen as far as they go, or refused; nothing else is raised."""

import os
import random
from contextlib import suppress

from mlxd.errors import InvalidRequestError
from mlxd.worker.runtime.vision.films import open_film
from mlxd.worker.runtime.vision.pictures import read_picture
from tests.support.cases import over
from tests.support.film_files import filmed
from tests.support.picture_files import saved, waves

COUNT = int(os.environ.get("MLXD_DAMAGED_FILES", "40"))  # of each kind
PIXELS = 10**6
PICTURES = {
    "PNG": saved(waves()),
    "JPEG": saved(waves(), "JPEG"),
    "progressive JPEG": saved(waves(64, 64), "JPEG", progressive=True),
    "GIF": saved(waves(), "GIF"),
    "WebP": saved(waves(), "WEBP"),
    "lossless WebP": saved(waves(), "WEBP", lossless=True),
    "BMP": saved(waves(), "BMP"),
}
FILMS = {
    "MP4": filmed(),
    "MP4 of another codec": filmed("mp4", "mpeg4"),
    "Matroska": filmed("matroska"),
    "WebM": filmed("webm", "libvpx-vp9"),
    "AVI": filmed("avi", "mpeg4"),
    "MPEG-TS": filmed("mpegts"),
    "FLV": filmed("flv"),
}


def damaged(name, seed):
    """A file that ends too early, or has other bytes anywhere, or in its head."""
    rng = random.Random(f"{name} {seed}")  # noqa: S311 - the same each time
    data = bytearray((PICTURES | FILMS)[name])
    kind = rng.randrange(4)
    if kind == 0:
        return bytes(data[: rng.randrange(len(data))])
    for _ in range(rng.choice([1, 2, 5, 50])):
        data[rng.randrange(len(data) if kind < 3 else min(200, len(data)))] = rng.randrange(256)
    return bytes(data)


@over([(name, seed) for name in (*PICTURES, *FILMS) for seed in range(COUNT)])
def test_nothing_but_a_refusal_is_raised(case):
    name, seed = case
    with suppress(InvalidRequestError):
        if name in PICTURES:
            read_picture(damaged(name, seed), PIXELS, "part")
            return
        with open_film(damaged(name, seed), PIXELS, "part") as film:
            assert len([*film.frames(range(0, min(film.facts.frames, 1000), 7))]) > 0
