"""What something costs that is made of counted parts, learned from what it took. It is pure, and has no clock.

A Kalman filter (1960) whose figures wander; with forgetting, recursive least squares is the same. It tells the parts apart as soon as what
is observed differs, and follows a device that slows down.
"""

import math
from collections.abc import Sequence
from operator import mul

_NOISE = 0.3  # how far an observation may be from what it should be, as a share of that
_FURTHEST = 3.0  # standard deviations; one that is further off counts as so far off: it may be another process's fault
_LEAST_SHARE = 0.02  # of the whole: a figure is never so small that it could not grow again


class LearnedCost:
    """The seconds of each part, which are ``first`` before anything was observed, with a standard deviation of ``doubt``."""

    def __init__(self, first: Sequence[float], doubt: Sequence[float]) -> None:
        self.figures = list(first)
        self._covariance = [[one**2 if row == column else 0.0 for column in range(len(doubt))] for row, one in enumerate(doubt)]

    def seconds(self, counts: Sequence[float]) -> float:
        """Returns the time that so many of each part are expected to take."""
        return _dot(self.figures, counts)

    def observe(self, seconds: float, counts: Sequence[float], wandering: Sequence[float]) -> None:
        """Learns that so many of each part took ``seconds``. A figure that is in it may have moved by a share ``wandering`` of itself since
        the last time; of the others nothing is learned.
        """
        expected = self.seconds(counts)
        self._wander(seconds, counts, wandering)
        blame = [_dot(row, counts) for row in self._covariance]
        variance = _dot(blame, counts) + (_NOISE * expected) ** 2
        furthest = _FURTHEST * math.sqrt(variance)
        surprise = min(furthest, max(-furthest, seconds - expected)) / variance
        self.figures = [max(1e-9, figure + part * surprise) for figure, part in zip(self.figures, blame, strict=True)]
        for row, part in zip(self._covariance, blame, strict=True):
            row[:] = [value - part * other / variance for value, other in zip(row, blame, strict=True)]

    def _wander(self, seconds: float, counts: Sequence[float], wandering: Sequence[float]) -> None:
        for at, (figure, count, share) in enumerate(zip(self.figures, counts, wandering, strict=True)):
            if count:
                self._covariance[at][at] += (share * max(figure, _LEAST_SHARE * seconds / count)) ** 2


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return float(sum(map(mul, left, right)))
