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


def test_whoever_goes_on_at_the_end_has_more_in_parts_though_others_have_left_blocks():
    """A quarter of all blocks are free again, in front of a stream that goes on at the arena's end: a copy of an arena is worth many."""
    pool = BlockPool(arena_blocks=4000, capacity=4000, on_evict=lambda _: None)
    blocks = [block for run in pool.allocate(1000) for block in run]
    for block in blocks[:250]:
        pool.release(block)
    last, grown = blocks[-1], 0
    pool.grow_ahead()
    for _ in range(60):
        before = pool.arenas
        taken = pool.allocate(4, after=last)
        assert pool.arenas == before
        assert taken == [range(last + 1, last + 5)]
        last = taken[-1][-1]
        pool.grow_ahead()
        grown += pool.arenas != before
    assert 1 <= grown <= 60 * 4 // (750 // 16)


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8)), min_size=50, max_size=300), st.sampled_from([0, 16]), st.data())
def test_an_arena_grows_by_no_few_blocks(steps, spare, data):
    """Streams take a few at their ends, others leave: whatever lies idle where, a copy is worth a sixteenth of what is in use."""
    pool = BlockPool(arena_blocks=4000, capacity=4000, spare=spare, on_evict=lambda _: None)
    held = [block for run in pool.allocate(400) for block in run]
    for takes, leaves in steps:
        for _ in range(min(leaves, len(held) - 1)):
            pool.release(held.pop(data.draw(st.integers(0, len(held) - 2))))
        before = pool.counts()
        held += [block for run in pool.allocate(takes, after=held[-1]) for block in run]
        pool.grow_ahead()
        counts = pool.counts()
        more = counts.total - before.total
        assert not more or more >= min(counts.used // 16, before.free)


def test_there_is_never_more_than_there_may_be():
    pool = BlockPool(arena_blocks=50, capacity=120, on_evict=lambda _: None)
    for _ in range(120):
        pool.allocate(1)
        pool.grow_ahead()
        assert pool.counts().total <= 120
    assert [arena.blocks for arena in pool.arenas] == [50, 50, 20]
