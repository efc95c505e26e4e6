"""The pool, against a model that knows every block's state, with integrity checked after every operation."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlxd.worker.kv.block_pool import BlockPool
from mlxd.worker.kv.free_extents import GAP

ARENA = 8


def pool(max_arenas=2):
    evicted = []
    made = BlockPool(arena_blocks=ARENA, max_arenas=max_arenas, on_evict=evicted.append)
    return made, evicted


def flat(ranges):
    return [block for run in ranges for block in run]


def test_one_request_for_blocks_gets_one_run():
    made, _ = pool()
    assert made.allocate(5) == [range(5)]


def test_growth_prefers_the_blocks_right_after_the_last_one():
    made, _ = pool()
    first = flat(made.allocate(2))
    assert flat(made.allocate(2, after=first[-1])) == [2, 3]


def test_a_run_never_crosses_an_arena():
    made, _ = pool()
    runs = made.allocate(12)
    assert sorted(len(run) for run in runs) == [4, 8]
    assert all(run[0] // ARENA == run[-1] // ARENA for run in runs)


def test_arenas_exist_only_on_demand_and_go_when_empty():
    made, _ = pool()
    assert made.arenas == frozenset()
    blocks = flat(made.allocate(9))
    assert made.arenas == {0, 1}
    for block in blocks:
        made.release(block)
    made.trim()
    assert made.arenas == frozenset()


def test_releasing_twice_raises():
    made, _ = pool()
    (block,) = flat(made.allocate(1))
    made.release(block)
    with pytest.raises(ValueError, match="released twice"):
        made.release(block)


def test_a_cached_block_is_evicted_least_recently_used_first():
    made, evicted = pool(1)
    blocks = flat(made.allocate(ARENA))
    for block in blocks:
        made.make_findable(block)
    for block in reversed(blocks):  # the tail of a chain first
        made.release(block)
    made.allocate(3)
    assert evicted == [7, 6, 5]


def test_a_reused_block_is_not_evicted():
    made, evicted = pool(1)
    blocks = flat(made.allocate(ARENA))
    for block in blocks:
        made.make_findable(block)
        made.release(block)
    made.retain(blocks[0])
    assert made.allocate(ARENA) is None
    assert flat(made.allocate(ARENA - 1)) == blocks[1:]
    assert blocks[0] not in evicted


def test_more_than_can_ever_be_had_is_not_now():
    made, _ = pool(1)
    assert made.allocate(ARENA + 1) is None
    assert made.counts().used == 0


def test_shrinking_drops_an_arena_when_its_last_holder_leaves():
    made, evicted = pool(2)
    blocks = flat(made.allocate(2 * ARENA))
    made.make_findable(blocks[-1])
    made.resize(1)
    assert made.arenas == {0, 1}
    for block in blocks[ARENA:]:
        made.release(block)
    assert made.arenas == {0}
    assert evicted == [blocks[-1]]  # a retired arena caches nothing
    made.check_integrity()


class Pool(RuleBasedStateMachine):
    """Holders are a list of blocks, one entry per reference; ``findable`` mirrors what the index would know."""

    @initialize(arenas=st.integers(1, 4))
    def start(self, arenas):
        self.limit = arenas
        self.findable = set()
        self.held = []
        self.pool = BlockPool(arena_blocks=ARENA, max_arenas=arenas, on_evict=self.evict)

    def evict(self, block):
        assert block in self.findable
        assert block not in self.held
        self.findable.remove(block)

    @rule(n=st.integers(0, 20), data=st.data())
    def allocate(self, n, data):
        after = data.draw(st.sampled_from(self.held)) if self.held else None
        available = self.pool.available
        before = set(self.held)
        taken = self.pool.allocate(n, after)
        assert (taken is not None) == (n <= available)
        if taken is not None:
            blocks = flat(taken)
            assert len(blocks) == len(set(blocks)) == n
            assert not before & set(blocks)
            assert not self.findable & set(blocks)
            self.held += blocks

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data):
        block = data.draw(st.sampled_from(self.held))
        if self.held.count(block) == 1 and block // ARENA >= self.limit:
            self.held.remove(block)
            self.pool.release(block)
            assert block not in self.findable
            return
        self.held.remove(block)
        self.pool.release(block)

    @precondition(lambda self: self.held or self.findable)
    @rule(data=st.data())
    def retain(self, data):
        block = data.draw(st.sampled_from(sorted({*self.held, *self.findable})))
        self.pool.retain(block)
        self.held.append(block)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def register(self, data):
        block = data.draw(st.sampled_from(self.held))
        self.pool.make_findable(block)
        self.findable.add(block)

    @rule(n=st.integers(0, 5))
    def evict_some(self, n):
        cached = self.pool.counts().cached
        assert self.pool.evict_cached(n) == min(n, cached)

    @rule(arenas=st.integers(1, 4))
    def resize(self, arenas):
        self.limit = arenas
        self.pool.resize(arenas)

    @rule()
    def trim(self):
        self.pool.trim()

    @invariant()
    def whole(self):
        if not hasattr(self, "pool"):
            return
        self.pool.check_integrity()
        counts = self.pool.counts()
        assert counts.used == len(set(self.held))
        assert counts.references == len(self.held)
        assert counts.shared == len({block for block in self.held if self.held.count(block) > 1})
        assert counts.cached == len(self.findable - set(self.held))
        assert all(self.pool.references(block) == self.held.count(block) for block in self.held)


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_newcomers_leave_room_for_those_before_them_to_grow():
    pool = BlockPool(arena_blocks=1024, max_arenas=1, on_evict=lambda _: None)
    (first,), (second,), (third,) = (pool.allocate(6) for _ in range(3))
    assert (first.start, second.start - first.stop, third.start - second.stop) == (0, GAP, GAP)
    assert pool.allocate(GAP, after=first[-1]) == [range(first.stop, second.start)]
    pool.check_integrity()


def test_where_there_is_little_room_everything_is_used():
    pool = BlockPool(arena_blocks=16, max_arenas=1, on_evict=lambda _: None)
    taken = [pool.allocate(2) for _ in range(8)]
    assert all(taken)
    assert pool.allocate(1) is None
    pool.check_integrity()


def test_shrinking_drops_an_arena_whose_last_cached_block_goes_with_it():
    pool = BlockPool(arena_blocks=4, max_arenas=2, on_evict=lambda _: None)
    blocks = [block for run in pool.allocate(8) for block in run]
    pool.make_findable(blocks[-1])
    for block in blocks:
        pool.release(block)
    pool.resize(1)
    pool.check_integrity()
    assert pool.arenas == {0}
