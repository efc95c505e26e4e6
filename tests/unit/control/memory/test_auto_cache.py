"""One pool for the caches of all models that want "auto"."""

from hypothesis import given
from hypothesis import strategies as st

from mlxd.control.memory.auto_cache import FLOOR, Member, shares

MIB, GIB = 2**20, 2**30


def test_a_single_model_has_all_of_the_pool():
    assert shares({"a": Member(fixed=GIB, pool=4 * GIB)}, 18 * GIB) == {"a": 4 * GIB}


def test_several_share_it_equally_whatever_their_weights():
    members = {name: Member(fixed=weight * GIB, pool=4 * GIB) for name, weight in (("a", 1), ("b", 5))}
    assert shares(members, 18 * GIB) == {"a": 2 * GIB, "b": 2 * GIB}


def test_where_the_limit_leaves_less_that_is_shared():
    members = {name: Member(fixed=GIB, pool=4 * GIB) for name in "ab"}
    assert shares(members, 3 * GIB) == {"a": GIB // 2, "b": GIB // 2}


def test_nobody_has_less_than_is_of_use():
    assert shares({"a": Member(fixed=GIB, pool=4 * GIB)}, 0) == {"a": FLOOR}
    assert shares({"a": Member(fixed=GIB, pool=MIB)}, 0) == {"a": MIB}


def test_who_came_when_little_was_available_shares_what_there_was_before():
    members = {"first": Member(fixed=0, pool=4 * GIB), "later": Member(fixed=0, pool=3 * GIB)}
    assert shares(members, 100 * GIB) == {"first": 2 * GIB, "later": 2 * GIB}


def test_nobody_shares_nothing():
    assert shares({}, GIB) == {}


@given(
    st.dictionaries(st.text(max_size=2), st.builds(Member, st.integers(0, 2**35), st.integers(1, 2**35)), max_size=8), st.integers(0, 2**36)
)
def test_together_they_never_have_more_than_the_pool_and_the_room_but_for_the_least_of_each(members, room):
    found = shares(members, room)
    least = sum(one.floor for one in members.values())
    fixed = sum(one.fixed for one in members.values())
    assert sum(found.values()) <= least + max((one.pool for one in members.values()), default=0)
    assert sum(found.values()) + fixed <= max(room, fixed) + least
