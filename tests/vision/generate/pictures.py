"""The pictures and the clip that the cases show: made of a seed, so that nobody has to own them."""

import zlib
from pathlib import Path

import numpy as np
from PIL import Image

# Width and height. ``red`` and ``blue`` are of one size; ``wide`` and ``tall`` have to be resized by every family.
PICTURES = {"red": (32, 24), "blue": (32, 24), "small": (24, 40), "wide": (50, 30), "tall": (20, 90)}
CLIP, FRAMES, FRAME = "clip", 5, (48, 16)


def draw_pictures(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, size in PICTURES.items():
        Image.fromarray(drawn(name, *size)).save(directory / f"{name}.png", optimize=True)
    frames = [drawn(f"{CLIP} {index}", *FRAME) for index in range(FRAMES)]
    Image.fromarray(np.concatenate(frames)).save(directory / f"{CLIP}.png", optimize=True)


def drawn(name: str, width: int, height: int) -> np.ndarray:
    """Returns waves of colours, some of them sharp, as ``[height, width, 3]`` of bytes: resizing them matters, and they pack well."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    rows, columns = np.mgrid[0:height, 0:width] / 8.0
    channels = []
    for _ in range(3):
        across, down, phase, level = rng.uniform(0.3, 1.8), rng.uniform(0.3, 1.8), rng.uniform(0, 6.28), rng.uniform(70, 180)
        channels.append(level + 70 * np.sin(across * columns + down * rows + phase))
    picture = np.stack(channels, axis=-1)
    top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
    picture[top : top + height // 3, left : left + width // 3] = rng.integers(0, 256, 3)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def load_picture(directory: Path, name: str) -> Image.Image:
    return Image.open(directory / f"{name}.png").convert("RGB")


def load_frames(directory: Path, count: int) -> np.ndarray:
    """Returns the first ``count`` frames of the clip, ``[count, height, width, 3]``."""
    strip = np.asarray(load_picture(directory, CLIP))
    return strip.reshape(FRAMES, FRAME[1], FRAME[0], 3)[:count]
