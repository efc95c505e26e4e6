"""Which way to attend is used for how many rows and how long contexts. Pure: figures in, a way out."""

import itertools
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import sqrt

from mlxd.types import AttentionWay

ROWS = (1, 2, 4, 8, 16, 32)
TOKENS = (128, 512, 2048, 8192)


@dataclass(frozen=True, order=True)
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

    def without(self, ways: AbstractSet[AttentionWay]) -> "Regions":
        """Returns the same regions, with rows in the place of these ways."""
        usual = AttentionWay.ROWS if self.usual in ways else self.usual
        return Regions(usual, {region: way for region, way in self.chosen.items() if way not in ways}, self.most_copied)

    def way(self, sequences: int, rows: int, longest: int, seen: int) -> AttentionWay:
        """Returns the way for ``rows`` of so many sequences, of up to ``longest`` tokens, ``seen`` all together."""
        region = Region.near(sequences, longest)
        found = self.chosen.get(region, self.usual)
        if found is AttentionWay.GATHER and not self._gathers(rows * longest, seen, measured=region in self.chosen):
            return AttentionWay.ROWS
        return found

    def _gathers(self, copied: int, seen: int, *, measured: bool) -> bool:
        """Tells whether gathering is worth it. What was measured is one row of each sequence, all contexts of one length: with others, and
        with guesses, most of a copy may be of no use.
        """
        return copied <= self.most_copied and (not measured or copied <= 2 * seen)


def _nearest(sizes: Sequence[int], size: int) -> int:
    bounds = [sqrt(one * other) for one, other in itertools.pairwise(sizes)]
    return sizes[bisect_right(bounds, size)]
