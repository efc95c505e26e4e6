"""The cache full, shrunk and grown, and what is told of it."""

import msgspec
import pytest

from mlxd.errors import CacheTooSmallError
from mlxd.types import CacheOutcome, FinishReason
from mlxd.worker.kv import free_extents
from tests.unit.worker_engine.paged_runner.rig import BLOCK, Rig


def test_out_of_blocks_the_youngest_is_preempted_and_finishes_later_with_the_same_tokens():
    rig = Rig(blocks=10, step_tokens=64)
    for name in "abc":
        rig.add(name, [ord(name), *range(1, 8)], max_tokens=20)
    rig.run()
    assert rig.preemptions > 0
    assert rig.all_right(*"abc")


def test_alone_in_a_full_pool_it_ends_with_length():
    rig = Rig(blocks=3)
    rig.add("a", range(1, 8), max_tokens=100)
    rig.run()
    assert rig.ended["a"] is FinishReason.LENGTH
    assert 0 < len(rig.tokens["a"]) < 100


def test_the_cache_shrinks_and_grows_under_load():
    rig = Rig(blocks=8, arenas=6, step_tokens=64)
    for number in range(6):
        rig.add(str(number), range(number * 100 + 1, number * 100 + 20), max_tokens=12)
    rig.step()
    rig.runner.reconfigure(msgspec.structs.replace(rig.limits, cache_bytes=2 * 8 * BLOCK))
    assert rig.runner.cache().limit_bytes == 2 * 8 * BLOCK
    rig.run()
    assert len(rig.manager.pool.arenas) <= 2
    rig.runner.reconfigure(rig.limits)
    rig.add("more", range(5000, 5100), max_tokens=12)
    rig.run()
    assert rig.all_right(*rig.requests)


def test_a_waiting_prompt_that_does_not_fit_any_more_is_refused():
    rig = Rig(blocks=8, arenas=4, max_sequences=1)
    rig.add("running", range(1, 5), max_tokens=8)
    rig.add("long", range(100, 190))
    rig.step()
    rig.runner.reconfigure(msgspec.structs.replace(rig.limits, cache_bytes=8 * BLOCK))
    rig.run()
    assert isinstance(rig.failed["long"], CacheTooSmallError)
    assert rig.all_right("running")


def test_evicting_drops_what_nobody_holds_and_is_no_eviction_for_want_of_room():
    rig = Rig()
    rig.add("a", range(1, 30))
    rig.run()
    assert rig.runner.cache().kept.cached > 0
    assert rig.runner.evict_cached() > 0
    assert rig.runner.cache().kept.cached == 0
    rig.add("b", range(1, 30))
    rig.run()
    assert sum(report.evicted_blocks for report in rig.reports) == 0
    assert rig.started["b"].cache is CacheOutcome.MISS


@pytest.mark.parametrize("ahead", [False, True])
def test_an_idle_device_lets_go_of_what_is_evicted_at_once(ahead):
    rig = Rig(snapshots=4, ahead=ahead)
    rig.add("a", range(1, 30))
    rig.run()
    assert rig.executor.slots
    assert rig.executor.snapshots
    rig.runner.evict_cached()
    assert not rig.executor.slots
    assert not rig.executor.snapshots


def test_an_idle_device_lets_go_of_what_a_smaller_cache_has_no_room_for():
    rig = Rig(blocks=8, arenas=4)
    rig.add("a", range(1, 100))
    rig.run()
    assert len(rig.executor.arenas) > 1
    rig.runner.reconfigure(msgspec.structs.replace(rig.limits, cache_bytes=8 * BLOCK))
    assert len(rig.executor.arenas) == 1


def serve_eight(rig):
    """One after the other, so that blocks of all are cached."""
    for number in range(8):
        rig.add(str(number), range(1000 * number + 1, 1000 * number + 80), max_tokens=4)
        rig.run()


def check_found_again(rig):
    """What the last of the eight said is found where it is now, and all of it is right."""
    rig.add("again", range(7001, 7080), max_tokens=4)
    rig.run()
    assert rig.started["again"].cached_tokens > 60
    assert rig.all_right(*rig.ended)


@pytest.mark.parametrize("snapshots", [None, 16])
def test_what_lies_idle_between_cached_blocks_is_given_back_and_they_are_still_found(snapshots):
    rig = Rig(blocks=64, arenas=4, snapshots=snapshots, step_tokens=64)
    serve_eight(rig)
    there = rig.manager.counts().total
    rig.manager.pool.evict_cached(120)
    rig.runner.reconfigure(rig.limits)
    counts = rig.manager.counts()
    assert there > 160
    assert counts.total <= 1.5 * counts.cached
    assert sum(arena.blocks for arena in rig.executor.arenas) == counts.total
    check_found_again(rig)


def test_what_aborted_requests_leave_idle_is_given_back_by_a_step_of_its_own():
    rig = Rig(blocks=256, step_tokens=64, ahead=False)
    for number in range(8):
        rig.add(str(number), range(1000 * number + 1, 1000 * number + 7), max_tokens=50)
    while len(rig.tokens) < 8:
        rig.step()
    for number in range(8):
        rig.runner.abort(str(number))
    assert rig.runner.is_idle
    assert rig.manager.has_idle
    assert rig.runner.rest == 0.0
    rig.step()
    counts = rig.manager.counts()
    assert counts.total <= 1.5 * counts.cached
    assert rig.runner.rest is None


def test_nothing_lies_idle_where_nobody_asks_for_anything():
    rig = Rig(blocks=64, arenas=4, step_tokens=64)
    serve_eight(rig)
    rig.manager.pool.evict_cached(40)
    there = rig.manager.counts()
    assert there.total > 1.25 * there.cached
    rig.runner.give_back()
    counts = rig.manager.counts()
    assert counts.cached == there.cached
    assert counts.total == counts.cached
    assert sum(arena.blocks for arena in rig.executor.arenas) == counts.total
    check_found_again(rig)


def test_evictions_for_want_of_room_are_counted():
    rig = Rig(blocks=8)
    for number in range(4):
        rig.add(str(number), range(number * 100 + 1, number * 100 + 20), max_tokens=1)
        rig.run()
    assert sum(report.evicted_blocks for report in rig.reports) > 0


def test_figures_of_shared_blocks():
    rig = Rig(blocks=200, max_sequences=10, step_tokens=64)
    system = list(range(1, 41))
    for number in range(10):
        rig.add(str(number), [*system, 100 + number], max_tokens=6)
    while len(rig.tokens) < 10:
        rig.step()
    figures = rig.runner.cache()
    assert figures.kept.shared == 10
    assert figures.kept.bytes_saved == 9 * 10 * BLOCK
    assert figures.kept.used + figures.kept.cached + figures.kept.free == 200


def test_a_sequence_in_many_pieces_is_moved_together(monkeypatch):
    monkeypatch.setattr(free_extents, "GAP", 0)
    rig = Rig(blocks=256, step_tokens=64)
    for name in "ab":
        rig.add(name, [ord(name), 1, 2], max_tokens=200)
    moves = 0
    launch = rig.executor.run

    def run(plan):
        nonlocal moves
        moves += len(plan.moves)
        return launch(plan)

    rig.executor.run = run
    most = 0
    while not rig.runner.is_idle:
        rig.step()
        most = max([most, *(len(rig.manager.runs(name)) for name in rig.scheduler.running)])
    assert moves > 0
    assert most <= 10
    assert rig.all_right("a", "b")


def test_what_cannot_be_given_back_keeps_no_idle_engine_busy():
    rig = Rig(blocks=256, step_tokens=64, ahead=False)
    rig.add("a", range(1, 30), max_tokens=50)
    rig.step()
    rig.manager.gather = lambda: ()
    rig.manager.shrink = rig.manager.trim = lambda: None  # as where what is pinned lies beyond a smaller limit
    rig.runner.abort("a")
    rig.manager.pool.evict_cached()
    assert rig.runner.rest == 0.0
    rig.step()
    assert rig.manager.has_idle
    assert rig.runner.rest is None


def test_one_that_waits_and_has_outgrown_a_cache_that_shrank_ends_with_what_it_has():
    rig = Rig(blocks=8, arenas=2, max_sequences=2)
    for name in ("first", "second"):
        rig.add(name, range(1, 21), max_tokens=40)
    while not rig.preemptions:
        rig.step()
    rig.runner.reconfigure(msgspec.structs.replace(rig.limits, cache_bytes=8 * BLOCK))
    rig.run()
    assert rig.failed == {}
    for name in ("first", "second"):
        assert rig.ended[name] is FinishReason.LENGTH
        assert len(rig.tokens[name]) < 40
        assert rig.tokens[name] == rig.expected(name)[: len(rig.tokens[name])]
