"""Who loses blocks first, with quotas and pins: by hand, and against rules that must hold whatever happens."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlxd.worker.kv.block_pool import BlockPool
from tests.support.examples import examples

ARENA = 8
WHO = ("", "agents", "chat", "nobody's")


def flat(ranges):
    return [block for run in ranges for block in run]


class Cache:
    """A pool in which everything that is taken is cached afterwards, and what was evicted of it."""

    def __init__(self, blocks=20, **shares):
        self.evicted = []
        self.pool = BlockPool(arena_blocks=blocks, capacity=blocks, on_evict=self.evicted.append)
        self.pool.share(shares)

    def keep(self, blocks, who=""):
        taken = flat(self.pool.allocate(blocks, None, who))
        for block in taken:
            self.pool.make_findable(block)
        for block in reversed(taken):
            self.pool.release(block)
        self.pool.check_integrity()
        return taken

    def use(self, blocks, who=""):
        for block in blocks:
            self.pool.retain(block, who)
        for block in reversed(blocks):
            self.pool.release(block)
        self.pool.check_integrity()

    def lost(self, blocks):
        return set(blocks) & set(self.evicted)


def test_what_is_moved_for_one_who_holds_it_is_still_of_who_used_it_last():
    cache = Cache(agents=0.3, chat=0.3)
    pool = cache.pool
    (block,) = flat(pool.allocate(1, None, "agents"))
    pool.make_findable(block)
    pool.retain(block, "chat")
    pool.release(block)
    (target,) = flat(pool.allocate(1, None, "agents"))
    pool.hand_over(block, target)
    for one in (block, target):
        pool.release(one)
    assert pool.held() == {"chat": 1}
    for _ in range(10):
        cache.keep(8, "agents")
    assert not cache.lost([target])


def test_without_a_quota_one_floods_the_others_out():
    cache = Cache()
    theirs = cache.keep(5, "chat")
    for _ in range(10):
        cache.keep(5, "agents")
    assert cache.lost(theirs) == set(theirs)


def test_with_a_quota_a_flood_leaves_the_others_alone():
    cache = Cache(agents=0.3)
    theirs = cache.keep(14, "chat")
    for _ in range(10):
        cache.keep(5, "agents")
    assert not cache.lost(theirs)
    assert cache.pool.held() == {"chat": 14, "agents": 6}
    assert cache.pool.quotas() == {"agents": 6}


def test_nor_do_they_evict_what_is_within_the_quota():
    cache = Cache(agents=0.3)
    own = cache.keep(6, "agents")
    for _ in range(10):
        cache.keep(5, "chat")
    assert not cache.lost(own)


def test_what_nobody_else_uses_is_lent_and_given_back_first():
    cache = Cache(agents=0.3)
    first, second = cache.keep(10, "agents"), cache.keep(10, "agents")
    assert not cache.evicted
    cache.keep(14, "chat")
    assert cache.lost(first) == set(first)
    assert len(cache.lost(second)) == 4
    assert cache.pool.held() == {"agents": 6, "chat": 14}


def test_what_two_have_used_is_lost_by_the_last_of_them():
    cache = Cache(agents=0.3)
    system = cache.keep(3, "chat")
    theirs = cache.keep(8, "chat")
    cache.use(system, "agents")
    for _ in range(10):
        cache.keep(6, "agents")
    assert not cache.lost([*system, *theirs])
    assert cache.pool.held()["chat"] == 11
    for _ in range(10):
        cache.keep(7, "chat")
    assert cache.lost(system) == set(system)


def test_more_than_everything_is_divided_in_proportion():
    cache = Cache(a=1.0, b=1.0)
    assert cache.pool.quotas() == {"a": 10, "b": 10}
    cache.keep(10, "a")
    cache.keep(10, "b")
    assert len(cache.keep(5)) == 5, "who has nothing of his own takes what he needs all the same"


def test_a_quota_that_changes_holds_at_once():
    cache = Cache()
    own = cache.keep(8, "agents")
    cache.keep(12, "chat")
    cache.pool.share({"agents": 0.4})
    cache.keep(12, "chat")
    assert not cache.lost(own)
    cache.pool.share({})
    cache.keep(12, "chat")
    assert cache.lost(own)


def test_quotas_follow_the_size_of_the_pool():
    cache = Cache(agents=0.5)
    cache.pool.resize(10)
    assert cache.pool.quotas() == {"agents": 5}


def test_a_pinned_block_stays_whatever_happens():
    cache = Cache(agents=0.3)
    pinned = cache.keep(4, "agents")
    for block in pinned:
        cache.pool.pin(block)
    assert cache.pool.available == 16
    for who in ("agents", "chat", ""):
        for _ in range(5):
            cache.keep(16, who)
    cache.pool.evict_cached()
    cache.pool.resize(1)
    cache.pool.trim()
    cache.pool.check_integrity()
    assert not cache.lost(pinned)
    assert cache.pool.allocate(1) is None, "of the one block there may be, none is left"
    cache.pool.resize(20)
    cache.pool.check_integrity()
    for block in pinned:
        cache.pool.unpin(block)
    cache.keep(20)
    assert cache.lost(pinned) == set(pinned)


def test_a_block_pinned_twice_goes_when_both_pins_have_ended():
    cache = Cache()
    (block,) = cache.keep(1)
    for _ in range(2):
        cache.pool.pin(block)
    cache.pool.unpin(block)
    cache.keep(19)
    assert cache.pool.allocate(20) is None
    cache.pool.unpin(block)
    assert len(flat(cache.pool.allocate(20))) == 20


def test_a_pinned_block_beyond_the_limit_goes_with_its_pin():
    cache = Cache()
    blocks = cache.keep(20)
    cache.pool.pin(blocks[-1])
    cache.pool.resize(10)
    cache.pool.trim()
    assert cache.lost(blocks) == set(blocks[10:-1])
    cache.pool.unpin(blocks[-1])
    cache.pool.trim()
    assert cache.evicted[-1] == blocks[-1]
    cache.pool.check_integrity()


def test_what_nobody_finds_cannot_be_pinned():
    cache = Cache()
    (block,) = flat(cache.pool.allocate(1))
    with pytest.raises(ValueError, match="cannot be pinned"):
        cache.pool.pin(block)


def test_what_is_no_number_is_not_pinned_any_more():
    cache = Cache()
    (block,) = cache.keep(1)
    cache.pool.pin(block)
    cache.pool.retain(block)
    cache.pool.forget(block)
    cache.pool.check_integrity()
    cache.pool.release(block)
    assert cache.pool.pinned == 0
    assert cache.pool.counts().cached == 0


class Shares(RuleBasedStateMachine):
    """Holders are a list of blocks, one entry per reference. Whatever is evicted for somebody is judged before it goes."""

    @initialize(limit=st.integers(1, 4 * ARENA), shares=st.dictionaries(st.sampled_from(WHO[1:3]), st.floats(0.05, 0.9)))
    def start(self, limit, shares):
        self.held, self.findable, self.pins = [], set(), []
        self.asking = None
        self.pool = BlockPool(arena_blocks=ARENA, capacity=limit, on_evict=self.evict)
        self.pool.share(shares)
        order = self.pool._order
        self.forget, order.forget = order.forget, self.judge

    def evict(self, block):
        self.findable.discard(block)

    def judge(self, block):
        """Nobody loses a block of his own to somebody else while there is another way."""
        if self.asking is not None:
            who, n = self.asking
            order = self.pool._order
            loser, mine = order._account_of(block), order._account(who)
            assert block not in self.pins
            assert not order.is_shared(block)
            if len(order._accounts) > 1 and loser.charged + (n if loser is mine else 0) <= loser.quota:
                assert not len(self.pool._space.free)
                assert all(one.charged <= one.quota for one in order._accounts.values() if one.order)
        assert block not in self.pins or self.asking == "forgotten"
        self.forget(block)

    @rule(n=st.integers(0, 20), who=st.sampled_from(WHO))
    def allocate(self, n, who):
        available, self.asking = self.pool.available, (who, n)
        taken = self.pool.allocate(n, None, who)
        self.asking = None
        assert (taken is not None) == (n <= available)
        for block in flat(taken or []):
            assert block not in self.pins
            self.held.append(block)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data):
        block = data.draw(st.sampled_from(self.held))
        self.held.remove(block)
        self.pool.release(block)

    @precondition(lambda self: self.held)
    @rule()
    def cache_all(self):
        for block in reversed(self.held):
            self.pool.make_findable(block)
            self.findable.add(block)
            self.pool.release(block)
        self.held.clear()

    @precondition(lambda self: self.held or self.findable)
    @rule(data=st.data(), who=st.sampled_from(WHO))
    def retain(self, data, who):
        block = data.draw(st.sampled_from(sorted({*self.held, *self.findable})))
        self.pool.retain(block, who)
        self.held.append(block)

    @precondition(lambda self: self.findable)
    @rule(data=st.data())
    def pin(self, data):
        block = data.draw(st.sampled_from(sorted(self.findable)))
        self.pool.pin(block)
        self.pins.append(block)

    @precondition(lambda self: self.pins)
    @rule(data=st.data())
    def unpin(self, data):
        block = data.draw(st.sampled_from(self.pins))
        self.pins.remove(block)
        self.pool.unpin(block)

    @precondition(lambda self: self.findable)
    @rule(data=st.data())
    def forget_one(self, data):
        block = data.draw(st.sampled_from(sorted(self.findable)))
        self.findable.remove(block)
        self.pins = [pinned for pinned in self.pins if pinned != block]
        self.pool.forget(block)

    @rule(n=st.none() | st.integers(0, 5))
    def evict_some(self, n):
        evictable = len(self.findable - set(self.held) - set(self.pins))
        assert self.pool.evict_cached(n) == (evictable if n is None else min(n, evictable))

    @rule(limit=st.integers(1, 4 * ARENA))
    def resize(self, limit):
        self.pool.resize(limit)

    @rule(shares=st.dictionaries(st.sampled_from(WHO[1:3]), st.floats(0.05, 1.0)))
    def share(self, shares):
        self.pool.share(shares)

    @rule()
    def trim(self):
        self.pool.trim()

    @rule()
    def gather(self):
        sources, targets = self.pool.gather()
        moved = dict(zip(sources, targets, strict=True))
        self.findable = {moved.get(block, block) for block in self.findable}
        self.pins = [moved.get(block, block) for block in self.pins]

    @invariant()
    def whole(self):
        if not hasattr(self, "pool"):
            return
        self.pool.check_integrity()
        assert self.pool.pinned == len(set(self.pins))
        assert all(self.pool.is_pinned(block) and self.pool.is_findable(block) for block in self.pins)
        assert self.pool.counts().cached == len(self.findable - set(self.held))
        held = self.pool.held()
        assert sum(held.values()) == len({*self.held, *self.findable} - set(self.pins))
        assert set(held) <= set(WHO)


TestShares = Shares.TestCase
TestShares.settings = settings(max_examples=examples(16), stateful_step_count=30, deadline=None)
