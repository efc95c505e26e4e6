"""Figures of which a sum is observed: a Kalman filter (1960) without a clock, whose figures whoever has it lets wander."""

import math
from collections.abc import Sequence
from operator import mul


class KalmanFilter:
    """The ``figures``, which are ``first`` before anything was observed, with standard deviations of ``doubt``."""

    def __init__(self, first: Sequence[float], doubt: Sequence[float]) -> None:
        self.figures = list(first)
        self._covariance = [[one**2 if row == column else 0.0 for column in range(len(doubt))] for row, one in enumerate(doubt)]

    def expected(self, counts: Sequence[float]) -> float:
        """Returns the sum of so many of each figure."""
        return _dot(self.figures, counts)

    def wander(self, at: int, deviation: float) -> None:
        """Lets a figure have moved since the last observation, with this standard deviation."""
        self._covariance[at][at] += deviation**2

    def correct(self, surprise: float, counts: Sequence[float], *, noise: float, furthest: float, least: float) -> None:
        """Learns that so many of each figure were by ``surprise`` more than expected. ``noise`` is the standard deviation of an
        observation; one that is more than ``furthest`` standard deviations off counts as so far off. No figure becomes less than ``least``.
        """
        blame = [_dot(row, counts) for row in self._covariance]
        variance = _dot(blame, counts) + noise**2
        most = furthest * math.sqrt(variance)
        share = min(most, max(-most, surprise)) / variance
        self.figures = [max(least, figure + part * share) for figure, part in zip(self.figures, blame, strict=True)]
        for row, part in zip(self._covariance, blame, strict=True):
            row[:] = [value - part * other / variance for value, other in zip(row, blame, strict=True)]


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return float(sum(map(mul, left, right)))
