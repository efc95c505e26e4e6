"""Blocks that leave memory and come back from disk."""

import msgspec
import pytest

from mlxd.types import CacheOutcome
from mlxd.worker.encoded_prompt import EncodedPrompt
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.group_tier import GroupTier
from tests.support.memory_tier import MemoryTier
from tests.unit.worker_engine.paged_runner.rig import BLOCK, ROOT, Rig

PROMPT = list(range(1, 42))  # ten full blocks, and one token that is always computed


def reborn(tier, **options):
    """The process that comes after: its memory is empty."""
    return Rig(tier=tier, **options)


@pytest.fixture
def tier():
    return MemoryTier()


def finished(tier, prompt=PROMPT, **options):
    rig = Rig(tier=tier, **options)
    rig.add("first", prompt, max_tokens=6)
    rig.settle()
    return rig


@pytest.mark.parametrize("ahead", [True, False])
def test_a_conversation_is_found_after_a_restart(tier, ahead):
    before = finished(tier, ahead=ahead)
    after = reborn(tier, ahead=ahead)
    history = [*PROMPT, *before.tokens["first"]]
    after.add("next", [*history, 99], max_tokens=3)
    after.run()
    started = after.started["next"]
    assert (started.cached_tokens, started.disk_tokens) == (44, 44)
    assert started.cache is CacheOutcome.HIT
    assert after.executor.computed < 8
    assert after.runner.cache().disk.hit_tokens == 44
    assert after.all_right("next")


def test_what_is_in_memory_is_not_read(tier):
    rig = finished(tier)
    rig.add("again", PROMPT, max_tokens=2)
    rig.run()
    assert (rig.started["again"].cached_tokens, rig.started["again"].disk_tokens) == (40, 0)
    assert tier.reads == []


def test_blocks_that_are_evicted_before_they_are_written_are_written_then(tier):
    rig = Rig(blocks=16, tier=tier)
    rig.add("first", PROMPT, max_tokens=1)
    rig.run()
    rig.add("other", range(100, 150), max_tokens=1)
    rig.settle()
    after = reborn(tier)
    after.add("first", PROMPT, max_tokens=1)
    after.run()
    assert after.started["first"].disk_tokens == 40


def test_memory_and_disk_together_make_one_hit(tier):
    finished(tier)
    rig = reborn(tier)
    rig.add("short", PROMPT[:17], max_tokens=1)
    rig.run()
    tier.reads.clear()
    rig.add("long", PROMPT, max_tokens=2)
    rig.run()
    assert (rig.started["long"].cached_tokens, rig.started["long"].disk_tokens) == (40, 24)
    assert sum(map(len, tier.reads)) == 6
    assert rig.all_right("short", "long")


def test_several_wait_for_one_read():
    tier = MemoryTier()
    finished(tier)
    tier._held = True
    rig = reborn(tier)
    for name in "abc":
        rig.add(name, [*PROMPT, ord(name)], max_tokens=3)
    for _ in range(4):
        rig.step()
    assert (rig.started, rig.executor.computed) == ({}, 0)
    tier.let_go()
    rig.run()
    assert sum(map(len, tier.reads)) == 10
    assert sorted(rig.started[name].disk_tokens for name in "abc") == [0, 0, 40]
    assert [rig.started[name].cached_tokens for name in "abc"] == [40] * 3
    assert rig.all_right(*"abc")


def test_others_run_while_one_waits_for_a_read():
    tier = MemoryTier()
    finished(tier)
    tier._held = True
    rig = reborn(tier)
    rig.add("waits", PROMPT, max_tokens=3)
    rig.add("runs", range(200, 230), max_tokens=4)
    for _ in range(20):
        rig.step()
    assert "runs" in rig.ended
    assert "waits" not in rig.started
    tier.let_go()
    rig.run()
    assert rig.all_right("waits", "runs")


def test_one_that_waits_alone_is_looked_after_now_and_then():
    tier = MemoryTier()
    finished(tier)
    tier._held = True
    rig = reborn(tier)
    rig.add("waits", PROMPT, max_tokens=3)
    rig.step()
    rig.step()
    assert 0 < rig.runner.rest < 1
    assert not rig.runner.is_idle
    tier.let_go()
    rig.run()
    assert rig.runner.rest is None


def test_one_that_is_aborted_while_it_waits_leaves_nothing():
    tier = MemoryTier()
    finished(tier)
    tier._held = True
    rig = reborn(tier)
    rig.add("waits", PROMPT, max_tokens=3)
    rig.step()
    rig.runner.abort("waits")
    assert rig.runner.is_idle
    tier.let_go()
    rig.add("after", range(50, 60), max_tokens=2)
    rig.run()
    assert rig.manager.counts().used == 0
    assert not rig.scheduler.fetching.is_reading
    assert rig.all_right("after")


@pytest.mark.parametrize("lost", range(0, 10, 3))
def test_a_block_that_cannot_be_read_is_a_shorter_hit(tier, lost):
    finished(tier)
    tier.lose(list(tier.blocks)[lost])
    rig = reborn(tier)
    rig.add("next", PROMPT, max_tokens=3)
    rig.run()
    assert rig.started["next"].disk_tokens == lost * BLOCK
    assert rig.all_right("next")


@pytest.mark.parametrize(
    "change",
    [
        {"parent": b"?" * 16},
        {"tokens": (9, 9, 9, 9)},
        {"extra": (b"picture",)},
        {"payload": (memoryview(b"short"),)},
        {"payload": ()},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_block_that_is_not_what_was_looked_for_is_none(tier, change):
    finished(tier)
    name = list(tier.blocks)[4]
    one = tier.blocks[name]
    tier.blocks[name] = type(one)(**{field: getattr(one, field) for field in ("digest", "parent", "tokens", "extra", "payload")} | change)
    rig = reborn(tier)
    rig.add("next", PROMPT, max_tokens=3)
    rig.run()
    assert rig.started["next"].disk_tokens == 4 * BLOCK
    assert rig.all_right("next")


def test_what_is_cheaper_to_compute_is_not_read(tier):
    finished(tier)
    rig = reborn(tier)
    for _ in range(2):  # once says nothing
        rig.scheduler.fetching._choice.observe_read(3600.0, 8 * BLOCK)
    rig.add("next", PROMPT, max_tokens=3)
    rig.run()
    assert (rig.started["next"].cached_tokens, tier.reads) == (0, [])


def test_a_tier_that_fails_is_a_miss_and_nobody_notices(tier):
    finished(tier)
    tier.fail("the disk is full")
    rig = reborn(tier)
    rig.add("next", PROMPT, max_tokens=3)
    rig.run()
    assert rig.started["next"].cached_tokens == 0
    assert rig.all_right("next")
    rig.step()
    assert rig.runner.rest > 0  # what it has to write waits for a tier that takes it


def test_where_there_is_no_room_in_memory_it_is_computed(tier):
    finished(tier)
    rig = reborn(tier, blocks=16, max_sequences=2)
    rig.add("long", range(300, 340), max_tokens=20)
    for _ in range(4):
        rig.step()
    rig.add("next", PROMPT, max_tokens=3)
    rig.run()
    assert rig.all_right("long", "next")


def test_what_a_fault_leaves_in_memory_is_not_written(tier):
    rig = Rig(tier=tier, fail_at={3}, step_tokens=8)
    rig.add("first", PROMPT, max_tokens=6)
    rig.run()
    rig.settle()
    assert tier.blocks == {}


def test_a_smaller_cache_gives_what_it_loses_to_the_disk(tier):
    rig = Rig(tier=tier, blocks=8, arenas=4)
    rig.add("first", PROMPT, max_tokens=1)
    rig.run()
    rig.runner.reconfigure(msgspec.structs.replace(rig.limits, cache_bytes=8 * BLOCK))
    rig.settle()
    assert len(tier.blocks) == 10


# ---- layers that see a window ----


@pytest.mark.parametrize("windows", [[3], [9], [6, 17]])
def test_what_windows_show_is_found_after_a_restart_too(tier, windows):
    before = finished(tier, windows=windows)
    assert before.executor.computed >= len(PROMPT)
    after = reborn(tier, windows=windows)
    history = [*PROMPT, *before.tokens["first"]]
    after.add("next", [*history, 99], max_tokens=3)
    after.run()
    assert (after.started["next"].cached_tokens, after.started["next"].disk_tokens) == (44, 44)
    assert after.executor.computed < 8
    after.add("again", [*PROMPT, 98], max_tokens=3)
    after.run()
    assert after.started["again"].cached_tokens >= 36
    assert after.all_right("next", "again")


def test_where_a_window_shows_what_is_lost_a_sequence_begins_before_it(tier):
    finished(tier, windows=[9])
    side = GroupTier(tier, 1)
    names = BlockChain.of(EncodedPrompt(PROMPT, 1, ROOT), BLOCK).digests
    lost = side._name(names[8])
    assert lost in tier.blocks
    tier.lose(lost)
    rig = reborn(tier, windows=[9])
    rig.add("next", PROMPT, max_tokens=3)
    rig.run()
    assert rig.started["next"].cached_tokens < 36
    assert rig.all_right("next")


def test_little_of_a_window_is_written(tier):
    finished(tier, prompt=list(range(1, 200)), windows=[9], step_tokens=32, blocks=128, window_blocks=128)
    assert len(tier.blocks) < 51 + 8
