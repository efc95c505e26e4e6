"""A full pool stays in few pieces: what streams hold after thousands of steps, as in a daemon that has run for days."""

import pytest

from mlxd.worker.encoded_prompt import EncodedPrompt
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.manager import Manager
from tests.unit.worker_kv.aged_pool import ROOT, AgedPool, age, median, p95

KINDS = {
    "prompts and answers of all lengths": {},
    "half of them under one system prompt": {"shared": 0.5},
    "small arenas": {"arena_blocks": 64, "max_arenas": 48},
    "long answers": {"prompts": (20, 200), "answers": (500, 3000)},
}

STEPS = 1800


@pytest.mark.parametrize("kind", KINDS)
def test_streams_lie_in_few_runs_after_many_steps(kind):
    """In a pool that is full for most of them."""
    pool, steps = AgedPool(**{"max_arenas": 10} | KINDS[kind]), STEPS if kind != "long answers" else 3000
    runs = age(pool, steps=steps)
    assert pool.manager.pool.evicted > 500
    assert median(runs) <= 2
    assert p95(runs) <= 4
    assert pool.moved < 4 * steps  # blocks: compaction is a small part of a step


def test_a_pool_with_hardly_room_for_its_streams_stays_in_few_runs_too():
    runs = age(AgedPool(max_arenas=10, answers=(500, 2000)), steps=STEPS)
    assert median(runs) <= 2
    assert p95(runs) <= 5


def test_what_is_used_often_stays_in_the_cache():
    """Pieces are made of what was not used for long."""
    pool = AgedPool(shared=0.2, max_arenas=10)
    age(pool, steps=1000)
    found = 0
    for _ in range(500):
        pool.step()
        found += pool.knows_the_system_prompt()
    assert found > 475


def test_a_prompt_larger_than_an_arena_makes_no_more_arenas_than_it_needs():
    pool = AgedPool(arena_blocks=64, max_arenas=48, streams=1, prompts=(100, 200), answers=(5, 10))
    pool.step()
    before = len(pool.manager.pool.arenas)
    assert pool.manager.pool.allocate(150) is not None
    assert len(pool.manager.pool.arenas) <= before + 3


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_memory_follows_what_is_held_on_the_way_to_a_full_pool_and_streams_lie_in_few_runs(kind):
    pool, runs = AgedPool(spare=22, **kind), []
    for step in range(1500):
        pool.manager.pool.trim()
        pool.step()
        counts = pool.manager.counts()
        assert counts.total <= 1.5 * (counts.used + counts.cached) + 22
        runs += pool.runs() if not step % 25 else []
    assert median(sorted(runs)) <= 2
    assert p95(sorted(runs)) <= 4


@pytest.mark.parametrize("users", [1, 2, 8])
def test_prompts_that_are_computed_side_by_side_lie_in_one_run_each(users):
    manager = Manager(block_size=16, arena_blocks=2048, capacity=8192, spare=22)
    prompts = {str(user): list(range(1000 * user, 1000 * user + 900 + 50 * user)) for user in range(users)}
    for name, tokens in prompts.items():
        chain = BlockChain.of(EncodedPrompt(tokens, 1, ROOT), 16)
        manager.open(name, chain, manager.lookup(chain, tokens))
    for computed in range(64, 1400, 64):
        for name, tokens in prompts.items():
            assert manager.reserve(name, min(computed, len(tokens)))
            manager.commit(name, tokens, min(computed, len(tokens)))
    assert [len(manager.runs(name)) for name in prompts] == [1] * users


def test_blocks_are_not_moved_where_their_own_places_would_lie_idle():
    pool = AgedPool(streams=1, prompts=(4000, 4001), answers=(10, 11))
    pool.step()
    assert pool.manager.counts().used > 200
    assert not pool.manager.pool.may_move(200)
    assert pool.manager.pool.may_move(20)
