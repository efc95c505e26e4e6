"""Ways to attend are timed where they may gain something, and no longer than is allowed."""

import mlx.core as mx
import pytest

from mlxd.types import AttentionWay
from mlxd.worker.runtime.paged.arenas import Plain
from mlxd.worker.runtime.paged.attention import timing
from mlxd.worker.runtime.paged.attention.layer_shape import LayerShape
from mlxd.worker.runtime.paged.attention.regions import Region
from mlxd.worker.runtime.paged.attention.timing import timed
from mlxd.worker.runtime.paged.attention.trial import Trial

_, GATHER, KERNEL = AttentionWay
SHAPE = LayerShape(4, 2, 16, 16, mx.float32, 0.25, None, has_sinks=False, kind=Plain())


class Scripted(Trial):
    """A device on which each way takes what ``costs`` says of a region, and rows one second."""

    def seconds(self, ways, region):
        return [1.0, *(way(region) for way in ways[1:])]


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr(timing.time, "perf_counter", lambda: Clock.now)
    return Clock


def measured(gather, kernel=None, *, device="gpu", sequences=32):
    ways = {GATHER: gather} | ({KERNEL: kernel} if kernel else {})
    return timed(Scripted(SHAPE, 16, device), None, ways, sequences)


def test_gathering_that_loses_is_not_timed_with_fewer_rows_or_longer_contexts():
    found = measured(lambda region: 0.5 if region.rows >= 8 and region.tokens == 128 else 2.0)
    assert sorted(found.gains[GATHER]) == [Region(4, 128), Region(8, 128), Region(16, 128), Region(32, 128), Region(32, 512)]
    assert sorted(found.regions(0).chosen) == [Region(8, 128), Region(16, 128), Region(32, 128)]


def test_a_kernel_that_loses_with_short_contexts_may_gain_with_long_ones():
    found = measured(lambda _: 2.0, lambda region: 0.5 if region.tokens == 8192 else 2.0)
    assert {region.tokens for region in found.regions(0).chosen} == {8192}


def test_a_cpu_is_asked_little():
    assert sorted(measured(lambda _: 0.9, device="cpu").gains[GATHER]) == [Region(32, 128)]
    assert measured(lambda _: 0.1, device="cpu", sequences=4).gains == {}


def test_as_many_rows_are_timed_as_there_may_be_sequences():
    assert {region.rows for region in measured(lambda _: 0.1, sequences=3).gains[GATHER]} == {1, 2, 4}


def test_time_is_bounded(clock):
    def slow(_region):
        clock.now += 0.6
        return 0.1

    assert len(measured(slow).gains[GATHER]) == 2
