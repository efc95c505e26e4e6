"""Which way to attend is the fastest in each region, by the clock of this device, in a bounded time."""

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mlxd.types import AttentionWay
from mlxd.worker.runtime.paged.attention.attention import Attention
from mlxd.worker.runtime.paged.attention.layer_shape import LayerShape
from mlxd.worker.runtime.paged.attention.regions import ROWS, TOKENS, Region, Regions
from mlxd.worker.runtime.paged.attention.trial import Trial

_CLEARLY = {"cpu": 1.3, "gpu": 1.15}  # times faster than rows: what is won by less may be noise, and a CPU does other work, too
_LONGEST = {"cpu": 0.2, "gpu": 1.0}  # seconds; regions that are not reached attend by rows
_FEWEST = {"cpu": 8, "gpu": 1}  # rows: with fewer, a CPU has little to gain
_COPIED_BYTES = 64 * 2**20  # that gathering may take in a layer
_TRIED_BYTES = 128 * 2**20  # of keys and values of a region that is timed


@dataclass
class Timing:
    """What was measured: how many times as fast as rows each way is, and where. ``clearly`` faster is what counts."""

    clearly: float
    gains: dict[AttentionWay, dict[Region, float]] = field(default_factory=dict)

    def best(self, way: AttentionWay) -> tuple[Region, float]:
        """Returns where a way gains most, and how much."""
        return max(self.gains[way].items(), key=lambda item: item[1])

    def may_gain(self, way: AttentionWay, region: Region) -> bool:
        """Tells whether a way may be faster than rows in a region. One that was not with more rows is not with fewer, and one that copies
        is not with longer contexts, either.
        """
        lost = [known for known, gain in self.gains.get(way, {}).items() if gain < self.clearly and known.rows >= region.rows]
        copies = way is AttentionWay.GATHER
        return not any(known.tokens <= region.tokens if copies else known.tokens == region.tokens for known in lost)

    def regions(self, most_copied: int) -> Regions:
        """Returns the fastest way of each region, which is rows unless another is clearly faster."""
        chosen: dict[Region, tuple[float, AttentionWay]] = {}
        for way, gains in self.gains.items():
            for region, gain in gains.items():
                if gain >= self.clearly and gain > chosen.get(region, (0.0, way))[0]:
                    chosen[region] = gain, way
        return Regions(chosen={region: way for region, (_, way) in chosen.items()}, most_copied=most_copied)


def most_copied(shape: LayerShape) -> int:
    """Returns how many tokens gathering may copy in a layer."""
    return _COPIED_BYTES // shape.token_bytes


def timed(trial: Trial, rows: Attention, ways: Mapping[AttentionWay, Attention], sequences: int) -> Timing:
    """Times the ways beside ``rows``, for up to so many sequences, short contexts and many rows first: that is where they gain most."""
    timing, began = Timing(_CLEARLY[trial.device]), time.perf_counter()
    for region in _regions(trial, Region.near(sequences, 1).rows):
        trying = [way for way in ways if timing.may_gain(way, region)]
        if trying and time.perf_counter() - began < _LONGEST[trial.device]:
            usual, *others = trial.seconds([rows, *(ways[way] for way in trying)], region)
            for way, seconds in zip(trying, others, strict=True):
                timing.gains.setdefault(way, {})[region] = usual / seconds
    return timing


def _regions(trial: Trial, most: int) -> Iterator[Region]:
    for tokens, rows in itertools.product(TOKENS, reversed(ROWS)):
        if _FEWEST[trial.device] <= rows <= most and rows * tokens * trial.shape.token_bytes <= _TRIED_BYTES:
            yield Region(rows, tokens)
