"""A full pool stays in few pieces: what streams hold after thousands of steps, as in a daemon that has run for days."""

import pytest

from tests.unit.worker_kv.aged_pool import AgedPool, age, median, p95

KINDS = {
    "prompts and answers of all lengths": {},
    "half of them under one system prompt": {"shared": 0.5},
    "small arenas": {"arena_blocks": 64, "max_arenas": 48},
    "long answers": {"prompts": (20, 200), "answers": (500, 3000)},
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_streams_lie_in_few_runs_after_six_thousand_steps(kind):
    pool = AgedPool(**kind)
    runs = age(pool, steps=6000)
    assert median(runs) <= 2
    assert p95(runs) <= 4
    assert pool.moved < 4 * 6000  # blocks: compaction is a small part of a step


def test_a_pool_with_hardly_room_for_its_streams_stays_in_few_runs_too():
    runs = age(AgedPool(max_arenas=10, answers=(500, 2000)), steps=3000)
    assert median(runs) <= 2
    assert p95(runs) <= 5


def test_what_is_used_often_stays_in_the_cache():
    """Pieces are made of what was not used for long."""
    pool = AgedPool(shared=0.2)
    age(pool, steps=2000)
    found = 0
    for _ in range(1000):
        pool.step()
        found += pool.knows_the_system_prompt()
    assert found > 950


def test_a_prompt_larger_than_an_arena_makes_no_more_arenas_than_it_needs():
    pool = AgedPool(arena_blocks=64, max_arenas=48, streams=1, prompts=(100, 200), answers=(5, 10))
    pool.step()
    before = len(pool.manager.pool.arenas)
    assert pool.manager.pool.allocate(150) is not None
    assert len(pool.manager.pool.arenas) <= before + 3
