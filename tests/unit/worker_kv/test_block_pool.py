"""The pool, against a model that knows every block's state, with integrity checked after every operation."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlxd.worker.kv.block_pool import BlockPool
from mlxd.worker.kv.free_extents import GAP
from tests.support.examples import examples

ARENA = 8


def pool(arenas=2, **sizes):
    evicted = []
    made = BlockPool(arena_blocks=ARENA, capacity=arenas * ARENA, on_evict=evicted.append, **sizes)
    return made, evicted


def sizes(made):
    return {arena.number: arena.blocks for arena in made.arenas}


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
    assert sizes(made) == {}
    blocks = flat(made.allocate(9))
    assert sizes(made) == {0: 8, 1: 2}
    for block in blocks:
        made.release(block)
    made.trim()
    assert sizes(made) == {}


def test_an_arena_is_as_large_as_what_is_held_asks_for():
    made = BlockPool(arena_blocks=1000, capacity=4000, spare=8, on_evict=lambda _: None)
    (first,) = made.allocate(16)
    assert sizes(made) == {0: 16 + 16 // 8 + 8 // 4}
    assert flat(made.allocate(4, after=first[-1])) == [16, 17, 18, 19]
    made.allocate(1)
    assert 21 < sizes(made)[0] <= 21 * 9 // 8 + 2


def test_a_sequence_at_the_end_of_an_arena_goes_on_there():
    made = BlockPool(arena_blocks=1000, capacity=4000, on_evict=lambda _: None)
    last = 0
    for _ in range(300):
        assert made.continues(last, 2) or not last
        ((_, last),) = made.allocate(2, after=last or None)
    assert last == 599
    assert sizes(made) == {0: pytest.approx(600, rel=0.125)}


def test_what_lies_idle_is_used_in_pieces_before_there_is_more_than_may():
    made = BlockPool(arena_blocks=1000, capacity=4000, on_evict=lambda _: None)
    blocks = flat(made.allocate(300))
    for block in blocks[::2]:
        made.release(block)
    there = sizes(made)
    assert len(made.allocate(60)) > 20  # in one piece, there would be 360 for 210
    assert sizes(made) == there


def test_idle_memory_at_the_end_is_given_up_and_what_is_held_stays():
    made = BlockPool(arena_blocks=1000, capacity=4000, spare=4, on_evict=lambda _: None)
    blocks = flat(made.allocate(200))
    for block in blocks[40:]:
        made.release(block)
    assert made.has_idle
    made.trim()
    assert sizes(made) == {0: 40 + 40 // 8 + 1}
    assert not made.has_idle
    made.check_integrity()


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
    made.resize(ARENA)
    made.trim()
    assert sizes(made) == {0: ARENA, 1: ARENA}
    for block in blocks[ARENA:]:
        made.release(block)
    assert sizes(made) == {0: ARENA, 1: ARENA}  # what is being moved away from there is still to be copied
    made.trim()
    assert sizes(made) == {0: ARENA}
    assert evicted == [blocks[-1]]  # what is beyond the limit caches nothing
    made.check_integrity()


def test_a_limit_need_not_be_a_whole_number_of_arenas():
    made, _ = pool(2)
    made.resize(11)
    assert made.allocate(12) is None
    assert len(flat(made.allocate(11))) == 11
    assert sizes(made) == {0: 8, 1: 3}
    made.resize(13)
    assert len(flat(made.allocate(2))) == 2
    made.check_integrity()


def test_cached_blocks_are_gathered_where_memory_lies_idle_before_them():
    evicted = []
    made = BlockPool(arena_blocks=1000, capacity=4000, spare=4, on_evict=evicted.append)
    blocks = flat(made.allocate(400))
    for block in blocks:
        made.make_findable(block)
    for block in blocks[:300] + blocks[:299:-1]:
        made.release(block)
    made.evict_cached(300)
    made.retain(blocks[-1])
    made.trim()
    assert sum(sizes(made).values()) >= 400  # what is held is at the end
    made.release(blocks[-1])
    sources, targets = made.gather()
    assert len(sources) > 80
    assert max(targets) < 120
    assert sources == sorted(sources)
    assert targets == sorted(targets)
    made.check_integrity()
    made.trim()
    assert sum(sizes(made).values()) <= 100 * 9 // 8 + 1
    assert evicted == blocks[:300]
    made.evict_cached(1)
    assert evicted[-1] == dict(zip(sources, targets, strict=True)).get(blocks[-2], blocks[-2])  # the order of use is as it was
    made.gather()
    made.shrink()
    assert sum(sizes(made).values()) == made.counts().cached == 99
    assert made.gather() == ([], [])


class Pool(RuleBasedStateMachine):
    """Holders are a list of blocks, one entry per reference; ``findable`` mirrors what the index would know."""

    @initialize(limit=st.integers(1, 4 * ARENA), spare=st.sampled_from([0, 3, ARENA, 100]))
    def start(self, limit, spare):
        self.limit = limit
        self.spare = spare
        self.findable = set()
        self.held = []
        self.pool = BlockPool(arena_blocks=ARENA, capacity=limit, spare=spare, on_evict=self.evict)

    def evict(self, block):
        assert block in self.findable
        assert block not in self.held
        self.findable.remove(block)

    @rule(n=st.integers(0, 20), data=st.data())
    def allocate(self, n, data):
        after = data.draw(st.sampled_from(self.held)) if self.held else None
        available = self.pool.available
        before, there = set(self.held), self.pool.counts().total
        wanted = n + len({*self.held, *self.findable})  # of which cached ones may make place
        taken = self.pool.allocate(n, after)
        assert (taken is not None) == (n <= available)
        if taken is not None:
            blocks = flat(taken)
            assert len(blocks) == len(set(blocks)) == n
            assert not before & set(blocks)
            assert not self.findable & set(blocks)
            self.held += blocks
            assert all(self.exists(block) for block in blocks)
            assert all(block < self.limit for block in blocks)
            assert self.pool.counts().total <= max(there, wanted * 3 / 2 + self.spare)  # as much as is needed, and little more

    def exists(self, block):
        return block % ARENA < sizes(self.pool).get(block // ARENA, 0)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data):
        block = data.draw(st.sampled_from(self.held))
        if self.held.count(block) == 1 and block >= self.limit:
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

    @rule(limit=st.integers(1, 4 * ARENA))
    def resize(self, limit):
        self.limit = limit
        self.pool.resize(limit)

    @rule()
    def trim(self):
        self.pool.trim()
        beyond = [block for block in range(self.limit, 4 * ARENA) if self.exists(block)]
        assert not beyond or any(block in self.held for block in beyond)

    @rule()
    def grow_ahead(self):
        there = sizes(self.pool)
        self.pool.grow_ahead()
        assert all(sizes(self.pool)[arena] >= blocks for arena, blocks in there.items())

    @rule()
    def gather(self):
        sources, targets = self.pool.gather()
        assert not set(sources) & set(targets)
        assert not set(sources) & set(self.held)
        assert not set(targets) & {*self.held, *self.findable}
        assert set(sources) <= self.findable
        self.findable = {dict(zip(sources, targets, strict=True)).get(block, block) for block in self.findable}

    @invariant()
    def whole(self):
        if not hasattr(self, "pool"):
            return
        self.pool.check_integrity()
        counts = self.pool.counts()
        assert counts.used == len(set(self.held))
        assert all(self.exists(block) for block in {*self.held, *self.findable})
        assert counts.references == len(self.held)
        assert counts.shared == len({block for block in self.held if self.held.count(block) > 1})
        assert counts.cached == len(self.findable - set(self.held))
        assert all(self.pool.references(block) == self.held.count(block) for block in self.held)


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=examples(24), stateful_step_count=30, deadline=None)


def test_newcomers_leave_room_for_those_before_them_to_grow():
    pool = BlockPool(arena_blocks=1024, capacity=1024, spare=1024, on_evict=lambda _: None)
    (first,), (second,), (third,) = (pool.allocate(6) for _ in range(3))
    assert (first.start, second.start - first.stop, third.start - second.stop) == (0, GAP, GAP)
    assert pool.allocate(GAP, after=first[-1]) == [range(first.stop, second.start)]
    pool.check_integrity()


def test_where_there_is_little_room_everything_is_used():
    pool = BlockPool(arena_blocks=16, capacity=16, on_evict=lambda _: None)
    taken = [pool.allocate(2) for _ in range(8)]
    assert all(taken)
    assert pool.allocate(1) is None
    pool.check_integrity()


def test_shrinking_drops_an_arena_whose_last_cached_block_goes_with_it():
    pool = BlockPool(arena_blocks=4, capacity=8, on_evict=lambda _: None)
    blocks = [block for run in pool.allocate(8) for block in run]
    pool.make_findable(blocks[-1])
    for block in blocks:
        pool.release(block)
    pool.resize(4)
    pool.check_integrity()
    pool.trim()
    pool.check_integrity()
    assert not {arena.number for arena in pool.arenas} - {0}
