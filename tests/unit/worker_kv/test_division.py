"""Room is given to the layers that need it, of what others have to spare, and never more than there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker_kv.windowed import BLOCK, begin, look, manager

BYTES = (1, 4)  # of a block that is seen as a whole, and of one that is seen through a window


@pytest.fixture
def made():
    """80 blocks that are seen as a whole, 20 through a window, in arenas of four: 160 bytes."""
    return manager(9, blocks=4, arenas=20, window_blocks=4, window_arenas=5, block_bytes=BYTES)


def capacities(made):
    return [group.pool.capacity for group in made.groups]


def test_what_windows_do_not_need_is_given_to_layers_that_see_everything(made):
    assert made.division.limit == 160
    assert made.division.shift([-20, 10])
    assert capacities(made) == [100, 15]
    assert made.division.shift([30, -4])
    assert capacities(made) == [84, 19]
    made.check_integrity()


def test_what_is_not_there_is_not_given_and_nothing_changes(made):
    assert not made.division.shift([-20, 4])
    assert not made.division.shift([-1, -1])
    assert not made.division.shift([5, 5])
    assert capacities(made) == [80, 20]


def test_what_is_held_is_given_once_it_is_let_go(made):
    begin(made, "a", [1] * 80)
    assert made.reserve("a", 20 * BLOCK)
    assert not made.division.shift([-12, 4])
    assert capacities(made) == [80, 17]  # and no more is taken by asking again
    assert not made.division.shift([-12, 4])
    assert capacities(made) == [80, 17]
    made.close("a")
    made.trim()  # as each step begins
    assert made.division.shift([-12, 4])
    assert capacities(made) == [92, 17]
    made.check_integrity()


def test_what_is_cached_gives_way(made):
    begin(made, "a", [1] * 80)
    assert made.reserve("a", 80)
    made.commit("a", [1] * 80, 80)
    made.close("a")
    assert look(made, [*[1] * 80, 2]).cached_tokens == 80
    assert made.division.shift([-60, 16])
    assert capacities(made) == [140, 5]
    assert look(made, [*[1] * 80, 2]).known_tokens == 80
    assert len(made.windows[0].index) <= 5
    made.check_integrity()


@given(asked=st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), max_size=12))
def test_never_more_is_shared_out_than_there_is(asked):
    made = manager(9, blocks=4, arenas=20, window_blocks=4, window_arenas=5, block_bytes=BYTES)
    for surplus in asked:
        before = capacities(made)
        if made.division.shift([min(more, had) for more, had in zip(surplus, before, strict=True)]):
            grown = [now - had for now, had in zip(capacities(made), before, strict=True)]
            assert all(more >= 0 or change >= -more for more, change in zip(surplus, grown, strict=True))
        made.check_integrity()
