"""What a step of streams takes with so many rows, learned from steps that were. It is pure, and has no clock.

A device reads its weights once for all rows of a step: a few more cost next to nothing, then each costs more than the one before. Where
that begins is different on every device, so the time is a sum of hinges (Friedman 1991, multivariate adaptive regression splines), whose
slopes a Kalman filter (1960) follows. What is seen of few rows says something of many: a device on which each row costs as much as the
first is found out with one guess.
"""

from mlxd.worker.engine.kalman_filter import KalmanFilter

_HINGES = (1, 4, 8, 16, 32)  # rows, behind which one more may cost more than before
_CALL, _STREAM, _ROW = 0.9, 0.02, 0.01  # of the first step, that the call, each stream, and each row behind each hinge are thought to take
_DOUBT = (0.3, 0.1, *[0.1 for _ in _HINGES])  # of the first step, standard deviations: how far off that may be
_WANDERING = (0.03, 0.003, *[0.003 for _ in _HINGES])  # of a step: how far a figure may move from one to the next
_NOISE = 0.15  # how far a step may be from what it should take, as a share of that
_FURTHEST = 2.5  # standard deviations; a step that is further off counts as so far off: it may be another process's fault
_FIRST, _GROWTH = 4, 2  # guesses of the first step that has any; and the next has no more than so many times as many
_FORGET = 0.002  # of what is thought of a slope, at each step that says nothing of it: some day it is tried again


class StepSeconds:
    """The seconds of steps: ``call + stream * streams + the slopes of the hinges * the rows behind them``. Rows are streams and guesses."""

    def __init__(self) -> None:
        self._filter: KalmanFilter | None = None  # before the first step
        self.most = _FIRST  # guesses of which anything is known: no step should have more

    def observe(self, seconds: float, streams: int, guesses: int = 0) -> None:
        """Learns from a step that had no prompt."""
        known = self._filter = self._filter or _begun(seconds, streams)
        self.most = max(self.most, _GROWTH * guesses)
        parts = _parts(streams, streams + guesses)
        expected = known.expected(parts)
        _wander(known, expected, parts)
        known.correct(seconds - expected, parts, noise=_NOISE * expected, furthest=_FURTHEST, least=0.0)

    def curve(self, streams: int, most: int) -> list[float]:
        """Returns what steps with 0 to ``most`` guesses take; before the first step, of anything, that they cost nothing more."""
        if self._filter is None:
            return [1.0] * (most + 1)
        return [max(1e-6, self._filter.expected(_parts(streams, streams + guesses))) for guesses in range(most + 1)]


def _begun(seconds: float, streams: int) -> KalmanFilter:
    """Returns what is thought after the first step."""
    unit = seconds / (_CALL + _STREAM * streams)
    return KalmanFilter([unit * share for share in (_CALL, _STREAM, *[_ROW for _ in _HINGES])], [unit * share for share in _DOUBT])


def _wander(known: KalmanFilter, expected: float, parts: list[float]) -> None:
    """Lets what the step is made of cost something else than it did, and what it is not made of what was thought at first."""
    figures = known.figures
    for at, (share, part) in enumerate(zip(_WANDERING, parts, strict=True)):
        if part:
            known.wander(at, share * expected)
        elif at >= 2:
            figures[at] += _FORGET * (_ROW * figures[0] / _CALL - figures[at])


def _parts(streams: int, rows: int) -> list[float]:
    return [1.0, float(streams), *(float(max(0, rows - hinge)) for hinge in _HINGES)]
