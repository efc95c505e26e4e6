"""The account of memory: what is reserved never exceeds the limit that held when it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mlxd.config.units import MemoryShare
from mlxd.control.memory.ledger import STEP, Ledger, memory_limit

GIB = 2**30


@pytest.mark.parametrize(
    ("text", "total", "expected"),
    [
        ("auto", 64 * GIB, 48 * GIB),
        ("50%", 64 * GIB, 32 * GIB),
        ("100%", 64 * GIB, 64 * GIB),
        ("48GiB", 64 * GIB, 48 * GIB),
    ],
)
def test_the_limit_is_what_the_file_says(text, total, expected):
    assert memory_limit(MemoryShare.parse(text), total) == expected


@given(st.floats(0.001, 1.0), st.integers(0, 2**50))
def test_a_share_is_never_more_than_all(fraction, total):
    assert 0 <= memory_limit(MemoryShare(fraction=fraction), total) <= total


def test_what_is_reserved_is_not_free_until_it_is_given_back():
    ledger = Ledger(100)
    assert ledger.reserve("a#1", 60)
    assert (ledger.total, ledger.free, dict(ledger.reserved)) == (60, 40, {"a#1": 60})
    assert not ledger.reserve("b#1", 41)
    assert dict(ledger.reserved) == {"a#1": 60}
    assert ledger.reserve("b#1", 40)
    ledger.release("a#1")
    ledger.release("a#1")
    assert (ledger.free, dict(ledger.reserved)) == (60, {"b#1": 40})


def test_a_holder_s_amount_is_replaced_not_added_to():
    ledger = Ledger(100)
    ledger.reserve("a", 60)
    assert ledger.reserve("a", 100)
    assert not ledger.reserve("a", 101)
    assert ledger.reserve("a", 10)
    assert ledger.free == 90


def test_a_limit_below_what_is_reserved_takes_nothing_back_and_gives_nothing_out():
    ledger = Ledger(100)
    ledger.reserve("a", 60)
    ledger.limit = 50
    assert (ledger.free, dict(ledger.reserved)) == (-10, {"a": 60})
    assert not ledger.reserve("b", 1)
    assert not ledger.reserve("a", 61)
    assert ledger.reserve("a", 55)  # less than it has, though more than it would get
    assert ledger.reserve("b", 0)


def test_the_account_cannot_be_changed_by_who_looks_at_it():
    with pytest.raises(TypeError):
        Ledger(100).reserved["a"] = 1


def test_what_is_really_held_beyond_a_reservation_is_not_free_in_portions():
    ledger = Ledger(10 * STEP)
    ledger.reserve("a", 2 * STEP)
    ledger.measure("a", 2 * STEP)
    assert (ledger.excess, ledger.free) == (0, 8 * STEP)
    ledger.measure("a", 5 * STEP + 7)
    assert (ledger.total, ledger.excess, ledger.free) == (2 * STEP, 3 * STEP, 5 * STEP)
    ledger.measure("a", 4 * STEP + 1)
    assert ledger.excess == 3 * STEP, "a little less or more changes nothing"
    ledger.measure("a", STEP)
    assert (ledger.excess, ledger.free) == (0, 8 * STEP)


def test_who_holds_more_than_was_reserved_may_reserve_it():
    ledger = Ledger(10 * STEP)
    ledger.reserve("a", 2 * STEP)
    ledger.reserve("b", 6 * STEP)
    ledger.measure("a", 4 * STEP)
    assert ledger.free == 0
    assert not ledger.reserve("a", 5 * STEP)
    assert ledger.reserve("a", 4 * STEP)
    assert (ledger.excess, ledger.free) == (0, 0)


def test_what_is_held_by_one_that_has_reserved_nothing_does_not_count_yet():
    ledger = Ledger(10 * STEP)
    ledger.measure("a", 4 * STEP)
    assert ledger.free == 10 * STEP
    ledger.reserve("a", STEP)
    assert ledger.excess == 3 * STEP
    ledger.release("a")
    assert (ledger.free, ledger.excess) == (10 * STEP, 0)


class LedgerMachine(RuleBasedStateMachine):
    """Beside a dictionary."""

    def __init__(self):
        super().__init__()
        self.ledger = Ledger(100)
        self.model = {}
        self.excess = 0  # how far a lowered limit lies below what was reserved by then

    @rule(holder=st.sampled_from("abc"), amount=st.integers(0, 150))
    def reserve(self, holder, amount):
        before = sum(self.model.values())
        growth = amount - self.model.get(holder, 0)
        granted = self.ledger.reserve(holder, amount)
        assert granted == (growth <= 0 or before + growth <= self.ledger.limit)
        if granted:
            self.model[holder] = amount
            self.excess = min(self.excess, max(0, sum(self.model.values()) - self.ledger.limit))

    @rule(holder=st.sampled_from("abc"))
    def release(self, holder):
        before = self.ledger.free
        self.ledger.release(holder)
        assert self.ledger.free == before + self.model.pop(holder, 0)
        self.excess = min(self.excess, max(0, self.ledger.total - self.ledger.limit))

    @rule(limit=st.integers(0, 200))
    def change_the_limit(self, limit):
        self.ledger.limit = limit
        self.excess = max(0, self.ledger.total - limit)

    @invariant()
    def it_says_what_was_reserved(self):
        assert dict(self.ledger.reserved) == self.model
        assert self.ledger.total == sum(self.model.values())

    @invariant()
    def no_more_than_the_limit_is_reserved_but_by_lowering_it(self):
        assert self.ledger.total - self.ledger.limit <= self.excess


TestLedgerMachine = LedgerMachine.TestCase
