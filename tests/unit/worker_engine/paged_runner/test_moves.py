"""Blocks of a sequence in many pieces are moved together: only by steps that compute something, for others are none."""

import random

import pytest

from tests.unit.worker_engine.paged_runner.rig import Rig


@pytest.mark.parametrize(("ahead", "late"), [(True, None), (True, 1), (False, 1)])
def test_no_move_is_left_to_a_step_that_is_none(monkeypatch, ahead, late):
    monkeypatch.setattr("mlxd.worker.engine.compaction._MANY_RUNS", 1)
    moves = 0
    for seed in range(40):
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
