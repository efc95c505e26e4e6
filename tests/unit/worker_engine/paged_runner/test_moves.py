"""Blocks of a sequence in many pieces are moved together: only by steps that compute something, for others are none."""

import random

import msgspec
import pytest

from mlxd.worker.engine import compaction
from mlxd.worker.kv import free_extents
from tests.unit.worker_engine.paged_runner.rig import BLOCK, Rig


@pytest.mark.parametrize(("ahead", "late"), [(True, None), (True, 1), (False, 1)])
def test_no_move_is_left_to_a_step_that_is_none(monkeypatch, ahead, late):
    monkeypatch.setattr("mlxd.worker.engine.compaction._MANY_RUNS", 1)
    moves = 0
    for seed in range(20):
        chance = random.Random(seed)  # noqa: S311
        rig = Rig(ahead=ahead, late=late, blocks=24)
        rig.manager._layers._growth_blocks = 1
        run = rig.executor.run

        def counted(plan, run=run):
            nonlocal moves
            moves += len(plan.moves)
            return run(plan)

        rig.executor.run = counted
        names = [str(number) for number in range(3)]
        for name in names:
            rig.add(name, [int(name), *range(chance.randint(1, 9))], max_tokens=chance.randint(1, 30))
        rig.run()
        assert rig.all_right(*names)
    assert moves


@pytest.mark.parametrize("ahead", [False, True])
def test_what_is_moved_out_of_an_arena_that_is_to_go_is_copied_before_it_goes(monkeypatch, ahead):
    monkeypatch.setattr(free_extents, "GAP", 0)
    monkeypatch.setattr(compaction, "_MANY_RUNS", 99)
    rig = Rig(blocks=32, arenas=2, spare=64, ahead=ahead, step_tokens=200)
    rig.manager._layers._growth_blocks = 1
    rig.add("first", range(1, 4 * 32 - 1), max_tokens=60)  # has the first arena for itself
    rig.step()
    for name in "ab":
        rig.add(name, [ord(name), 1, 2], max_tokens=60)  # and these the second one together
    while len(rig.tokens.get("b", ())) < 10:
        rig.step()
    assert all(block >= 32 for run in rig.manager.runs("a") for block in run)
    for name in ("first", "b"):
        rig.runner.abort(name)
    rig.runner.reconfigure(msgspec.structs.replace(rig.limits, cache_bytes=32 * BLOCK))
    rig.manager.pool.evict_cached()
    monkeypatch.setattr(compaction, "_MANY_RUNS", 1)
    rig.step()
    assert rig.executor.moves == 1
    assert all(block < 32 for run in rig.manager.runs("a") for block in run)
    rig.run()
    assert rig.all_right("a")


@pytest.mark.parametrize("ahead", [False, True])
def test_nothing_is_moved_to_where_arenas_grow(monkeypatch, ahead):
    monkeypatch.setattr("mlxd.worker.engine.compaction._MANY_RUNS", 1)
    rig = Rig(ahead=ahead, blocks=64)
    rig.manager._layers._growth_blocks = 1
    rig.executor.is_growing = True
    for name in "ab":
        rig.add(name, [ord(name), 1, 2], max_tokens=40)
    while len(rig.tokens.get("b", ())) < 20:
        rig.step()
    assert len(rig.manager.runs("a")) > 1
    assert rig.executor.moves == 0
    rig.executor.is_growing = False
    rig.run()
    assert rig.executor.moves
    assert rig.all_right(*"ab")
