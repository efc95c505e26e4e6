"""A histogram's buckets: what was added to them, and the quantiles they allow to tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Self


@dataclass(frozen=True)
class Histogram:
    """A histogram has ``counts`` of each bucket for itself, one more than ``bounds``: the last bucket has no upper bound."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Reads a histogram of the admin API."""
        return cls(tuple(document["bounds"]), tuple(document["counts"]))

    @property
    def total(self) -> int:
        """Returns how many values were measured."""
        return sum(self.counts)

    def __add__(self, other: Self) -> Self:
        return type(self)(self.bounds, tuple(mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)))

    def __sub__(self, earlier: Self) -> Self:
        return type(self)(self.bounds, tuple(now - before for now, before in zip(self.counts, earlier.counts, strict=True)))

    def quantile(self, q: float) -> float | None:
        """Returns what PromQL's ``histogram_quantile`` would: values are spread evenly inside a bucket, and the last one is at its lower
        bound. None where nothing was measured.
        """
        rank = q * self.total
        for index, (count, up_to_here) in enumerate(zip(self.counts, accumulate(self.counts), strict=True)):
            if count and up_to_here >= rank:
                return self._inside(index, (rank - (up_to_here - count)) / count)
        return None

    def _inside(self, bucket: int, share: float) -> float:
        if bucket == len(self.bounds):
            return self.bounds[-1]
        lower, upper = ((0.0, *self.bounds)[bucket], self.bounds[bucket])
        return min(upper, lower + (upper - lower) * share)
