"""Layers that see a window keep what it shows, and a prefix is found where all that it shows there is left."""

from mlxd.types import CacheOutcome
from mlxd.worker.kv import free_extents
from mlxd.worker.kv.lookup import Rewound
from mlxd.worker.kv.state_snapshots import StateSnapshots
from tests.unit.worker_kv.windowed import BLOCK, begin, chain_of, compute, held, look, manager

LONG = list(range(100, 200))


def test_a_sequence_keeps_what_its_window_shows_and_everything_where_layers_see_everything():
    made = manager(9, arenas=8)
    begin(made, "a", LONG)
    compute(made, "a", LONG, *range(10, 101, 10))
    passed, blocks = held(made, "a")
    assert passed == (100 - 9 + 1) // BLOCK
    assert len(blocks) == 25 - passed == 2
    assert sum(len(run) for run in made.runs("a")) == 26  # and one for what follows
    assert made.windows[0].pool.counts().used == 2
    made.check_integrity()


def test_each_window_has_blocks_of_its_own():
    made = manager(5, 33, arenas=8)
    begin(made, "a", LONG)
    compute(made, "a", LONG, 100)
    assert [held(made, "a", window)[0] for window in (0, 1)] == [24, 17]
    assert [group.pool.counts().used for group in made.windows] == [1, 8]
    made.check_integrity()


def test_the_next_turn_begins_where_the_sequence_was():
    made = manager(9, arenas=8)
    begin(made, "a", LONG)
    compute(made, "a", LONG, *range(10, 101, 10))
    made.close("a")
    found = look(made, [*LONG, 1])
    assert (found.cached_tokens, found.outcome) == (100, CacheOutcome.HIT)
    assert len(found.windows[0]) == 2
    begin(made, "b", [*LONG, 1])
    assert held(made, "b") == (23, list(found.windows[0]))
    made.check_integrity()


def test_a_prefix_is_found_no_deeper_than_its_windows_are():
    made = manager(9, arenas=8)
    begin(made, "a", LONG)
    compute(made, "a", LONG, *range(10, 101, 10))
    group = made.windows[0]
    last = group.table("a").last
    made.close("a")
    for block in list(group._passed):
        group._drop(block)
    assert look(made, [*LONG, 1]).cached_tokens == 100  # what it kept was no passed one
    assert look(made, [*LONG[:98], 1, 2]).cached_tokens == 0  # nothing shows what is before token 96
    assert group.pool.is_findable(last)
    group.pool.evict_cached()
    assert look(made, [*LONG, 1]).cached_tokens == 0
    assert look(made, [*LONG, 1]).known_tokens == 100
    made.check_integrity()


def test_where_prompts_part_and_where_one_ends_is_kept_like_the_rest():
    made = manager(9, arenas=8, window_arenas=2)
    begin(made, "a", LONG, ends=(40, 60))
    compute(made, "a", LONG, *range(10, 101, 10))
    group = made.windows[0]
    for block in list(group._passed):
        group._drop(block)
    assert [look(made, [*LONG[:stop], 1]).cached_tokens for stop in (40, 60, 72)] == [40, 60, 60]
    made.close("a")
    made.check_integrity()


def test_who_finds_that_windows_are_gone_leaves_them_for_the_next():
    made = manager(9, blocks=16, arenas=8, window_blocks=16)
    begin(made, "a", LONG)
    compute(made, "a", LONG, *range(10, 101, 10))
    made.close("a")
    made.windows[0].pool.evict_cached()
    other = [*LONG[:64], *range(60)]
    lookup = begin(made, "b", other)
    assert (lookup.cached_tokens, lookup.known_tokens) == (0, 64)
    waits = look(made, [*LONG[:64], 7])
    assert made.is_computing(waits.computing)  # what "b" computes again
    compute(made, "b", other, *range(10, 125, 10))
    assert not made.is_computing(waits.computing)
    group = made.windows[0]
    for block in list(group._passed):
        group._drop(block)
    assert look(made, [*LONG[:64], 7]).cached_tokens == 64
    made.check_integrity()


def test_what_was_passed_goes_before_all_that_is_cached():
    made = manager(9, blocks=64, arenas=2, window_blocks=24, window_arenas=1)
    begin(made, "kept", [1] * 20)
    compute(made, "kept", [1] * 20, 20)
    made.close("kept")
    begin(made, "long", LONG)
    compute(made, "long", LONG, *range(10, 101, 10))
    assert look(made, [*[1] * 20, 2]).cached_tokens == 20
    assert len(made.windows[0]._passed) <= 24 // 8
    made.check_integrity()


def test_a_sequence_goes_back_as_far_as_its_window_still_shows_and_else_to_its_beginning():
    made = manager(9, arenas=8)
    begin(made, "a", LONG)
    made.reserve("a", 50)
    made.commit("a", LONG, 40)
    made.pass_by("a", 40)
    assert made.rewind("a", 41) == Rewound(41)
    assert held(made, "a")[0] == 8
    assert made.rewind("a", 37) == Rewound(0)  # its windows would show token 28
    assert held(made, "a") == (0, [])
    assert made.reserve("a", 50)
    made.check_integrity()


def test_recurrent_states_and_windows_are_found_together():
    made = manager(9, arenas=8, snapshots=StateSnapshots(8))
    begin(made, "a", LONG, ends=(40,))
    done = 0
    for stop in (40, 80, 100):
        made.pass_by("a", done)
        made.reserve("a", stop)
        made.plan_snapshot("a", stop)
        made.commit("a", LONG, stop)
        done = stop
    made.pass_by("a", done)
    group = made.windows[0]
    for block in list(group._passed):
        group._drop(block)
    assert [look(made, [*LONG[:stop], 1]).cached_tokens for stop in (40, 83, 100)] == [40, 40, 100]
    made.check_integrity()


def test_what_is_no_number_is_forgotten_in_all_layers():
    made = manager(9, arenas=8)
    begin(made, "a", LONG)
    compute(made, "a", LONG, *range(10, 101, 10))
    made.close("a")
    cached = made.cached(chain_of(LONG))
    assert len(cached) == 25
    assert cached[-1].windows[0] is not None
    made.distrust({cached[20].block})
    assert look(made, [*LONG, 1]).known_tokens == 80
    assert all(made.windows[0].find(chain_of(LONG), index) is None for index in range(20, 25))
    made.check_integrity()


def test_no_room_in_a_window_takes_nothing_anywhere():
    made = manager(9, blocks=64, window_blocks=4, window_arenas=1)
    begin(made, "a", LONG)
    assert not made.reserve("a", 100)
    assert (made.counts().used, made.windows[0].pool.counts().used) == (0, 0)
    made.check_integrity()


def test_blocks_of_a_window_are_moved_together(monkeypatch):
    monkeypatch.setattr(free_extents, "GAP", 0)
    made = manager(60, blocks=64, window_blocks=32, window_arenas=2)
    for name in "ab":
        begin(made, name, [ord(name)])
    for length in range(4, 65, 4):
        for name in "ab":
            assert made.reserve(name, length)
    assert made.run_counts("a")[1] > 2
    before = held(made, "a")[1]
    move = made.move_private("a", 1)
    assert (move.group, list(move.source)) == (1, before[-len(move.source) :])
    assert held(made, "a")[1][-len(move.target) :] == list(move.target)
    made.check_integrity()
