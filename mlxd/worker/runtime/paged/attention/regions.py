"""Which way to attend is used for how many rows and how long contexts. Pure: figures in, a way out."""

import itertools
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt

from mlxd.types import AttentionWay

ROWS = (1, 2, 4, 8, 16, 32)
TOKENS = (128, 512, 2048, 8192)


@dataclass(frozen=True)
class Region:
    """Steps about like this one: so many ``rows`` that decode, of contexts of so many ``tokens``."""

    rows: int
    tokens: int

    @classmethod
    def near(cls, rows: int, tokens: int) -> "Region":
        """Returns the one that is nearest, by ratio."""
        return cls(_nearest(ROWS, rows), _nearest(TOKENS, tokens))


@dataclass(frozen=True)
class Regions:
    """The way of each region; ``usual`` in those that have none of their own. Gathering is bounded: it copies at most ``most_copied``
    tokens in a layer, padding included, which would take memory that nobody has counted.
    """

    usual: AttentionWay = AttentionWay.ROWS
    chosen: Mapping[Region, AttentionWay] = field(default_factory=dict)
    most_copied: int = 0

    def way(self, rows: int, longest: int, seen: int) -> AttentionWay:
        """Returns the way for ``rows`` of contexts of up to ``longest`` tokens, ``seen`` all together."""
        region = Region.near(rows, longest)
        found = self.chosen.get(region, self.usual)
        if found is AttentionWay.GATHER and not self._gathers(rows * longest, seen, measured=region in self.chosen):
            return AttentionWay.ROWS
        return found

    def _gathers(self, copied: int, seen: int, *, measured: bool) -> bool:
        """Tells whether gathering is worth it. What was measured are contexts of one length: with others, most of the copy is padding."""
        return copied <= self.most_copied and (not measured or copied <= 2 * seen)


def _nearest(sizes: Sequence[int], size: int) -> int:
    bounds = [sqrt(one * other) for one, other in itertools.pairwise(sizes)]
    return sizes[bisect_right(bounds, size)]
