"""What something costs that is made of counted parts, learned from what it took. It is pure, and has no clock.

A Kalman filter (1960) whose figures wander; with forgetting, recursive least squares is the same. It tells the parts apart as soon as what
is observed differs, and follows a device that slows down.
"""

from collections.abc import Sequence

from mlxd.worker.engine.kalman_filter import KalmanFilter

_NOISE = 0.3  # how far an observation may be from what it should be, as a share of that
_FURTHEST = 3.0  # standard deviations; one that is further off counts as so far off: it may be another process's fault
_LEAST_SHARE = 0.02  # of the whole: a figure is never so small that it could not grow again
_LEAST = 1e-9  # seconds of a part


class LearnedCost:
    """The seconds of each part, which are ``first`` before anything was observed, with a standard deviation of ``doubt``."""

    def __init__(self, first: Sequence[float], doubt: Sequence[float]) -> None:
        self._filter = KalmanFilter(first, doubt)

    @property
    def figures(self) -> Sequence[float]:
        """Returns the seconds of each part."""
        return self._filter.figures

    def seconds(self, counts: Sequence[float]) -> float:
        """Returns the time that so many of each part are expected to take."""
        return self._filter.expected(counts)

    def observe(self, seconds: float, counts: Sequence[float], wandering: Sequence[float]) -> None:
        """Learns that so many of each part took ``seconds``. A figure that is in it may have moved by a share ``wandering`` of itself since
        the last time; of the others nothing is learned: what was seen together says that they are less where these are more, and one
        time that something else held up would make them a fraction of what they are.
        """
        expected = self.seconds(counts)
        for at, (figure, count, share) in enumerate(zip(self.figures, counts, wandering, strict=True)):
            if count:
                self._filter.wander(at, share * max(figure, _LEAST_SHARE * seconds / count))
        self._filter.correct(
            seconds - expected, counts, noise=_NOISE * expected, furthest=_FURTHEST, least=_LEAST, learned=[count > 0 for count in counts]
        )
