"""What goes to disk is what its name says, whatever becomes of a block in the very step that writes it."""

import random

import pytest

from tests.support.memory_tier import MemoryTier
from tests.unit.worker_engine.paged_runner.rig import Rig

PROMPT = list(range(1, 42))
SHARED = list(range(1, 18))


def conversations(seed, **options):
    """Several that share a beginning: some end, others go on with it."""
    chance = random.Random(seed)  # noqa: S311
    rig = Rig(tier=MemoryTier(), **options)
    rig.manager._layers._growth_blocks = 1
    names = [str(number) for number in range(4)]
    for name in names:
        rig.add(name, [*SHARED[: chance.randint(9, 17)], *range(30, 30 + chance.randint(0, 3))], max_tokens=chance.randint(1, 40))
        for _ in range(chance.randint(0, 3)):
            rig.step()
    rig.settle()
    return rig, names


@pytest.mark.parametrize("ahead", [True, False])
def test_a_block_that_is_moved_is_not_written_before_it_is_there(monkeypatch, ahead):
    monkeypatch.setattr("mlxd.worker.engine.compaction._MANY_RUNS", 1)
    moves = 0
    for seed in range(20):
        rig, names = conversations(seed, ahead=ahead, blocks=40)
        assert rig.all_right(*names)
        moves += rig.executor.moves
    assert moves


def test_a_block_that_is_computed_again_is_not_written_before_it_is():
    rig = Rig(tier=MemoryTier(), step_tokens=64)
    rig.add("first", PROMPT)
    rig.step()
    rig.executor.slots = dict.fromkeys(rig.executor.slots, -1)
    rig.manager.distrust(list(rig.manager._layers.table("first")))
    rig.runner.abort("first")
    rig.add("again", PROMPT)
    rig.settle()
    assert rig.all_right("again")
    assert len(rig.tier.blocks) == 11


def test_what_the_disk_did_not_take_is_written_the_next_time():
    tier = MemoryTier()
    rig = Rig(tier=tier)
    rig.add("first", PROMPT, max_tokens=1)
    room, tier.room = tier.room, lambda: 2**20  # it fails between the question and the answer, or behind it
    tier.fail("the disk is full")
    rig.settle()
    assert tier.blocks == {}
    tier.room = room
    tier.reconfigure(rig.limits.disk)
    rig.add("again", PROMPT, max_tokens=1)
    rig.settle()
    assert len(tier.blocks) == 10
