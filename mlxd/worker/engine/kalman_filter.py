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

    def correct(  # noqa: PLR0913 - what was observed, and what may be learned from it
        self,
        surprise: float,
        counts: Sequence[float],
        *,
        noise: float,
        furthest: float,
        least: float,
        learned: Sequence[bool] | None = None,
    ) -> None:
        """Learns that so many of each figure were by ``surprise`` more than expected. ``noise`` is the standard deviation of an
        observation; one that is more than ``furthest`` standard deviations off counts as so far off. No figure becomes less than ``least``.

        Figures that are not ``learned`` stay what they are; what is thought of how they go together with the others does not (Schmidt 1966,
        who "considers" them). All are, without it.
        """
        blame = [_dot(row, counts) for row in self._covariance]
        variance = _dot(blame, counts) + noise**2
        most = furthest * math.sqrt(variance)
        share = min(most, max(-most, surprise)) / variance
        gains = blame if learned is None else [part if one else 0.0 for part, one in zip(blame, learned, strict=True)]
        self.figures = [max(least, figure + gain * share) for figure, gain in zip(self.figures, gains, strict=True)]
        for row, part, gain in zip(self._covariance, blame, gains, strict=True):
            explained = [gain * blamed + (part - gain) * other for blamed, other in zip(blame, gains, strict=True)]
            row[:] = [value - one / variance for value, one in zip(row, explained, strict=True)]


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return float(sum(map(mul, left, right)))
