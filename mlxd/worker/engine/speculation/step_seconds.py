"""What a step of streams takes with so many rows, learned from steps that were. It is pure, and has no clock.

A device reads its weights once for all rows of a step: a few more cost next to nothing, then they cost more and more. Where that begins
is different on every device, and follows no line; so there is a figure for each number of rows.
"""

import math

_KNOTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128)  # rows
_FIRST = 0.01  # of a step, that one more row is thought to take before any was tried: so it is
_ALL = 0.1  # share of a surprise that concerns all numbers of rows: contexts have grown, the device is slower
_ONE = 0.25  # share of it that concerns this one, and less and less its neighbours
_FURTHEST = 0.5  # of the logarithm: a step that is further off may be another process's fault
_FORGET = 0.002  # of what is known of a number of rows, at each step with another: so that it is tried again some day
_NEIGHBOURS = 3


class StepSeconds:
    """The seconds of steps by their rows: of streams, and of guesses beside them."""

    def __init__(self) -> None:
        self._level = math.log(0.02)
        self._known = False
        self._figures = [_beforehand(rows) for rows in _KNOTS]  # logarithms, beside the level

    def observe(self, seconds: float, rows: int) -> None:
        """Learns from a step of so many rows and no prompt."""
        logarithm = math.log(max(seconds, 1e-6))
        if not self._known:
            self._known, self._level = True, logarithm - self._figure(rows)
        surprise = max(-_FURTHEST, min(_FURTHEST, logarithm - self._level - self._figure(rows)))
        nearest = min(range(len(_KNOTS)), key=lambda at: abs(_KNOTS[at] - rows))
        self._level += _ALL * surprise
        for at, knot in enumerate(_KNOTS):
            distance = abs(at - nearest)
            if distance <= _NEIGHBOURS:
                self._figures[at] += _ONE * surprise * 0.5**distance
            else:
                self._figures[at] += _FORGET * (self._offset(nearest) + _beforehand(knot) - self._figures[at])

    def of(self, rows: int) -> float:
        """Returns what a step of so many rows takes."""
        return math.exp(self._level + self._figure(rows))

    def curve(self, first: int, most: int) -> list[float]:
        """Returns what steps of ``first`` to ``first + most`` rows take; more rows never take less."""
        found = [self.of(first)]
        for rows in range(first + 1, first + most + 1):
            found.append(max(found[-1], self.of(rows)))
        return found

    def _offset(self, at: int) -> float:
        """Returns how much more the figure of one knot is than was thought beforehand."""
        return self._figures[at] - _beforehand(_KNOTS[at])

    def _figure(self, rows: int) -> float:
        """Returns the figure between its knots; beyond the last one rows cost what they cost there, each."""
        if rows >= _KNOTS[-1]:
            return self._figures[-1] + math.log(rows / _KNOTS[-1])
        upper = next(at for at, knot in enumerate(_KNOTS) if knot > rows)
        low, high = _KNOTS[upper - 1], _KNOTS[upper]
        part = (rows - low) / (high - low)
        return self._figures[upper - 1] * (1 - part) + self._figures[upper] * part


def _beforehand(rows: int) -> float:
    return math.log1p(_FIRST * (rows - 1))
