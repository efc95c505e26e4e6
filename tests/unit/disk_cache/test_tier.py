"""What every tier does, the one that tests use included."""

import pytest

from mlxd.disk_cache.tier import Spilled
from tests.support.memory_tier import MemoryTier


def block(number, payload=b"keys"):
    return Spilled(
        digest=bytes([number]) * 16,
        parent=bytes([number - 1]) * 16,
        tokens=(number, 2**40),
        extra=(b"picture",),
        payload=(payload, memoryview(payload)[1:], b""),
    )


CHAIN = [block(number) for number in (1, 2, 3)]
NAMES = [one.digest for one in CHAIN]


@pytest.fixture
def tier():
    tier = MemoryTier()
    yield tier
    tier.close()


def test_what_is_written_is_found_and_comes_back(tier):
    assert tier.known(NAMES) == 0
    assert tier.write(CHAIN) == 3
    found = tier.read(NAMES).result()
    assert [(one.digest, one.parent, one.tokens, one.extra) for one in found] == [
        (one.digest, one.parent, one.tokens, one.extra) for one in CHAIN
    ]
    assert [[bytes(part) for part in one.payload] for one in found] == [[bytes(part) for part in one.payload] for one in CHAIN]
    assert all(part.readonly for one in found for part in one.payload)
    assert tier.known(NAMES) == 3


def test_a_chain_is_known_up_to_its_first_gap(tier):
    tier.write([CHAIN[0], CHAIN[2]])
    tier.read(NAMES[:1]).result()
    assert tier.known(NAMES) == 1
    assert [one.digest for one in tier.read(NAMES).result()] == NAMES[:1]


def test_a_block_is_stored_once(tier):
    assert tier.write(CHAIN[:1]) + tier.write(CHAIN[:1]) == 2
    tier.read(NAMES[:1]).result()
    assert (tier.figures().written_blocks, tier.figures().blocks) == (1, 1)


def test_what_was_lost_is_found_missing_by_reading():
    tier = MemoryTier()
    tier.write(CHAIN)
    tier.lose(NAMES[1])
    assert tier.known(NAMES) == 3
    assert len(tier.read(NAMES).result()) == 1
    assert tier.known(NAMES) == 1


def test_a_read_that_is_held_is_done_later():
    tier = MemoryTier(held=True)
    tier.write(CHAIN)
    future = tier.read(NAMES)
    assert not future.done()
    tier.let_go()
    assert len(future.result()) == 3


def test_one_that_failed_takes_nothing_until_it_is_told_to_try():
    tier = MemoryTier()
    tier.fail("the disk is gone")
    assert (tier.room(), tier.write(CHAIN), tier.known(NAMES), tier.figures().reason) == (0, 0, 0, "the disk is gone")
