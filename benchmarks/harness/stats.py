"""Medians, percentiles, spreads and ratios of a few noisy numbers."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self


def microseconds(work: Callable[[], object], times: int) -> float:
    """Returns how long ``work`` takes: the median of so many times."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return median(found) * 1e6


def percentile(values: Sequence[float], share: float) -> float:
    """Linear between the two nearest values; ``share`` from 0 to 1. NaN for no values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


@dataclass(frozen=True)
class Spread:
    """What some rounds gave: the median, the least and the most."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Of at least one value."""
        return cls(median(values), min(values), max(values))

    def text(self, digits: int) -> str:
        """``12.3 [11.9-13.0]``, or one number where there is no spread."""
        if self.low == self.high:
            return f"{self.median:.{digits}f}"
        return f"{self.median:.{digits}f} [{self.low:.{digits}f}-{self.high:.{digits}f}]"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Returns them round by round: what slowed the machine in a round slowed both. A round that one of them lacks has none."""
    return [mine / other for mine, other in zip(ours, theirs, strict=False) if other]
