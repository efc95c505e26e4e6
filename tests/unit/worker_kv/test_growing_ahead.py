"""A pool asks for memory before what there is runs out, so that those who copy an arena have some steps to do it in."""

from hypothesis import given
from hypothesis import strategies as st

from mlxd.worker.kv.block_pool import BlockPool


@given(st.integers(1, 2), st.sampled_from([0, 16, 100]), st.integers(40, 600))
def test_a_pool_asks_for_more_before_it_runs_out(takes, spare, begun):
    """One block a step, or a few: none has to wait for what is new, and no more than a third of all lies idle, beside what may anyway."""
    pool = BlockPool(arena_blocks=4000, capacity=4000, spare=spare, on_evict=lambda _: None)
    last = pool.allocate(begun)[-1][-1]
    pool.grow_ahead()
    for _ in range(300):
        before = pool.arenas
        blocks = pool.allocate(takes, after=last)
        assert pool.arenas == before
        last = blocks[-1][-1]
        pool.grow_ahead()
        counts = pool.counts()
        assert 2 * counts.total <= 3 * counts.used + 2 * spare


def test_memory_that_lies_idle_already_is_not_added_to():
    """Half of all blocks are free, though not at the arena's end."""
    pool = BlockPool(arena_blocks=4000, capacity=4000, on_evict=lambda _: None)
    blocks = [block for run in pool.allocate(300) for block in run]
    for block in blocks[:150]:
        pool.release(block)
    before = pool.arenas
    pool.grow_ahead()
    assert pool.arenas == before


def test_there_is_never_more_than_there_may_be():
    pool = BlockPool(arena_blocks=50, capacity=120, on_evict=lambda _: None)
    for _ in range(120):
        pool.allocate(1)
        pool.grow_ahead()
        assert pool.counts().total <= 120
    assert [arena.blocks for arena in pool.arenas] == [50, 50, 20]
