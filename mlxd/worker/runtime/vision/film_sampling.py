"""Which frames of a film are looked at, and how large: the rules of Qwen2-VL's and Qwen3-VL's processors, on numbers."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FilmFacts:
    """What a film's file says: ``frames`` there are, at a ``rate`` of them a second."""

    frames: int
    rate: float
    width: int
    height: int


@dataclass(frozen=True)
class FrameWish:
    """How many frames are wanted: ``fps`` of a film's second, at least ``fewest`` and at most ``most``, in whole groups of ``group``."""

    fps: float
    fewest: int
    most: int
    group: int


def stepped(facts: FilmFacts, wish: FrameWish) -> list[int]:
    """Returns the frames that Qwen2-VL looks at: whole groups, each as far from the one before it, and none at the very end."""
    most = min(wish.most, facts.frames) // wish.group * wish.group
    wanted = min(max(facts.frames / facts.rate * wish.fps, wish.fewest), most, facts.frames)
    count = math.floor(wanted / wish.group) * wish.group or min(facts.frames, wish.most)
    return [min(int(index * facts.frames / count), facts.frames - 1) for index in range(count)]


def spread(facts: FilmFacts, wish: FrameWish) -> list[int]:
    """Returns the frames that Qwen3-VL looks at: from the first to the last, as many as come out."""
    count = min(max(int(facts.frames / facts.rate * wish.fps), wish.fewest), wish.most, facts.frames)
    return [int(index) for index in np.linspace(0, facts.frames - 1, count).round()]


@dataclass(frozen=True)
class SizeRule:
    """The pixels that a picture may have, rounded to multiples of ``factor``."""

    factor: int
    fewest: int
    most: int

    def fit(self, height: int, width: int) -> tuple[int, int]:
        """Returns height and width near the same proportion (Qwen2-VL)."""
        return self.fit_film(1, height, width, group=1)

    def fit_film(self, frames: int, height: int, width: int, *, group: int) -> tuple[int, int]:
        """Returns height and width of each of ``frames``, which share the pixels (Qwen3-VL)."""
        rows, columns = self._rounded(height), self._rounded(width)
        depth = round(frames / group) * group
        if depth * rows * columns > self.most:
            by = math.sqrt(frames * height * width / self.most)
            return max(self.factor, self._below(height / by)), max(self.factor, self._below(width / by))
        if depth * rows * columns < self.fewest:
            by = math.sqrt(self.fewest / (frames * height * width))
            return self._above(height * by), self._above(width * by)
        return rows, columns

    def _rounded(self, length: int) -> int:
        return round(length / self.factor) * self.factor

    def _below(self, length: float) -> int:
        return math.floor(length / self.factor) * self.factor

    def _above(self, length: float) -> int:
        return math.ceil(length / self.factor) * self.factor
