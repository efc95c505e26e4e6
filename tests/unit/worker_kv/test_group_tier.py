"""A tier's part for one group of layers: the same blocks under names of their own."""

from dataclasses import replace

import pytest

from mlxd.disk_cache.tier import Spilled
from mlxd.worker.kv.group_tier import GroupTier
from tests.support.memory_tier import MemoryTier

NAMES = [bytes([number]) * 16 for number in range(3)]
BLOCKS = [Spilled(digest=name, parent=b"parent", tokens=(1, 2), payload=(b"of all",)) for name in NAMES]


@pytest.fixture
def tier():
    return MemoryTier()


def test_blocks_of_the_same_name_are_another_group_s(tier):
    first, second = GroupTier(tier, 1), GroupTier(tier, 2)
    tier.write(BLOCKS)
    first.write([replace(block, payload=(b"of one",)) for block in BLOCKS[:2]])
    assert [one.known(NAMES) for one in (tier, first, second)] == [3, 2, 0]
    assert [(one.digest, bytes(one.payload[0])) for one in first.read(NAMES).result()] == [(name, b"of one") for name in NAMES[:2]]
    assert [bytes(one.payload[0]) for one in tier.read(NAMES).result()] == [b"of all"] * 3
    assert second.read(NAMES).result() == ()


def test_what_is_read_is_what_was_written(tier):
    GroupTier(tier, 1).write(BLOCKS)
    assert [replace(one, payload=tuple(map(bytes, one.payload))) for one in GroupTier(tier, 1).read(NAMES).result()] == BLOCKS


def test_a_read_that_is_not_wanted_any_more_is_cancelled():
    tier = MemoryTier(held=True)
    part = GroupTier(tier, 1)
    part.write(BLOCKS)
    read = part.read(NAMES)
    assert read.cancel()
    tier.let_go()
    assert tier.figures().read_blocks == 0


def test_the_tier_is_somebody_else_s(tier):
    part = GroupTier(tier, 1)
    part.reconfigure(None)
    part.close()
    assert not tier.closed
    assert part.room() == tier.room() > 0
    assert part.settle(0.0)
    assert part.figures() == tier.figures()
