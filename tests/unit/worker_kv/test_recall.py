"""Reads from disk: each block once, for however many want it."""

import pytest

from mlxd.disk_cache.tier import Spilled
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.recall import Recall
from tests.support.memory_tier import MemoryTier

BLOCK = 4
SIZE = 2**20  # so that eight blocks are a piece


def chain(tokens):
    made = BlockChain(b"root", BLOCK)
    made.extend(tokens)
    return made


LONG = chain(range(80))  # twenty blocks


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def tier():
    tier = MemoryTier(held=True)
    payload = bytes(SIZE)
    tier.write(
        [
            Spilled(digest=digest, parent=key.parent, tokens=key.tokens, extra=key.extra, payload=(payload,))
            for digest, key in zip(LONG.digests, LONG.keys, strict=True)
        ]
    )
    return tier


def test_a_chain_is_read_piece_by_piece_in_its_order(tier):
    recall = Recall(tier, SIZE)
    assert recall.stored(LONG, 0, 20) == 20
    recall.begin("a", LONG, 0, 20)
    assert list(map(len, tier.reads)) == [8, 8, 4]
    assert recall.take(2**40) == []
    assert recall.awaits("a")
    tier.let_go()
    found = recall.take(2**40)
    assert [digest for one in found for digest in one.digests] == LONG.digests
    assert not recall.awaits("a")
    assert not recall.is_reading


def test_what_is_being_read_is_not_read_again(tier):
    recall = Recall(tier, SIZE)
    recall.begin("a", LONG, 0, 12)
    recall.begin("b", LONG, 0, 20)
    assert sorted(digest for read in tier.reads for digest in read) == sorted(LONG.digests)
    recall.forget("a")
    tier.let_go()
    assert sum(len(one.digests) for one in recall.take(2**40)) == 20
    assert not recall.awaits("b")


def test_each_piece_is_of_who_asked_for_it_first(tier):
    recall = Recall(tier, SIZE)
    recall.begin("a", LONG, 0, 8, "agents")
    recall.begin("b", LONG, 0, 16, "chat")
    tier.let_go()
    assert [one.who for one in recall.take(2**40)] == ["agents", "chat"]


def test_what_nobody_waits_for_any_more_is_let_go(tier):
    recall = Recall(tier, SIZE)
    recall.begin("a", LONG, 0, 20)
    recall.forget("a")
    assert not recall.is_reading
    tier.let_go()
    assert recall.take(2**40) == []


def test_behind_a_block_that_is_missing_nothing_is_waited_for(tier):
    tier.lose(LONG.digests[5])
    recall = Recall(tier, SIZE)
    recall.begin("a", LONG, 0, 20)
    tier.let_go()
    assert [digest for one in recall.take(2**40) for digest in one.digests] == LONG.digests[:5]
    assert not recall.awaits("a")
    assert not recall.is_reading


def test_another_chain_by_the_same_names_is_no_hit(tier):
    other = chain(range(80))
    other.keys = [type(key)(key.parent, (9, 9, 9, 9)) for key in other.keys]
    recall = Recall(tier, SIZE)
    recall.begin("a", other, 0, 20)
    tier.let_go()
    assert recall.take(2**40) == []
    assert not recall.awaits("a")


def test_no_more_is_read_ahead_than_memory_is_meant_for(tier):
    recall = Recall(tier, 2**28)  # a block is as much as that is
    recall.begin("a", LONG, 0, 3)
    assert list(map(len, tier.reads)) == [1]
    tier.let_go()
    recall.take(2**40)
    assert list(map(len, tier.reads)) == [1]  # it was of another size, so nothing behind it is read


def test_reads_are_timed_one_after_the_other(tier):
    clock = Clock()
    recall = Recall(tier, SIZE, clock)
    recall.begin("a", LONG, 0, 16)
    clock.now = 2.0
    tier.let_go()
    clock.now = 9.0
    assert [one.seconds for one in recall.take(2**40)] == [2.0, 0.0]


def test_no_more_is_taken_at_once_than_is_borne_but_a_piece_at_least(tier):
    recall = Recall(tier, SIZE)
    recall.begin("a", LONG, 0, 20)
    tier.let_go()
    assert [len(one.digests) for one in recall.take(1)] == [8]
    assert recall.awaits("a")
    assert [len(one.digests) for one in recall.take(9 * SIZE)] == [8, 4]
    assert not recall.awaits("a")
