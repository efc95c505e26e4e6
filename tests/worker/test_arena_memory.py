"""Layers get larger arenas a few a step; what a step needs is there whatever comes."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.worker.engine.executor import Encoded, StepResult
from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.kv.arena_sizes import Arena
from mlxd.worker.kv.block_table import Run, WindowRuns
from mlxd.worker.kv.move import Move
from mlxd.worker.runtime.paged.arena_memory import ArenaMemory
from mlxd.worker.runtime.paged.slots import Geometry
from tests.worker.runner_rig import PagedRig, architecture, words

BLOCK, ARENA = 4, 1000
GEOMETRIES = [Geometry(BLOCK, ARENA)] * 2


@dataclass
class Store:
    """Remembers the sizes of its arenas, in slots, and how often any was changed."""

    slots: dict[int, int] = field(default_factory=dict)
    copied: int = 0

    def keep(self, arenas):
        changed = self.slots != arenas
        self.copied += changed
        self.slots = dict(arenas)
        return changed


def layers(count, group=0):
    return [SimpleNamespace(group=group, store=Store()) for _ in range(count)]


def plan(blocks, *, count=1, arenas=(), windows=(), moves=()):
    """A step of ``count`` tokens of a sequence that fills so many ``blocks`` of arena 0 with them, in one run that is longer than that."""
    runs, windows_ = (Run(0, blocks + 5),), windows and (WindowRuns(0, windows),)
    chunk = Chunk("a", blocks * BLOCK - count, count, (7,) * count, runs, samples=True, windows=windows_)
    beside = ((Arena(0, 50),),) if windows else ()
    return StepPlan(chunks=(chunk,), arenas=tuple(arenas), window_arenas=beside, moves=moves)


def begun(count):
    """So many layers with 100 blocks each, and their memory."""
    found = layers(count)
    memory = ArenaMemory(found)
    memory.keep_for(plan(1, arenas=[Arena(0, 100)]), GEOMETRIES)
    return found, memory


def resized(found):
    return sum(layer.store.slots == {0: 150 * BLOCK} for layer in found)


def test_some_layers_a_step_get_more_in_proportion_to_what_is_taken_of_what_all_have():
    found, memory = begun(30)
    counts = []
    for blocks in range(90, 101):
        memory.keep_for(plan(blocks, count=BLOCK, arenas=[Arena(0, 150)]), GEOMETRIES)
        counts.append(resized(found))
    assert counts == [2, 4, 6, 9, 12, 15, 18, 21, 24, 27, 30]
    assert all(layer.store.copied == 2 for layer in found)


def test_where_nothing_is_taken_each_step_does_one():
    found, memory = begun(4)
    counts = []
    for _ in range(5):
        memory.keep_for(plan(50, arenas=[Arena(0, 150)]), GEOMETRIES)
        counts.append(resized(found))
    assert counts == [1, 2, 3, 4, 4]


def test_what_others_have_taken_long_ago_does_not_hurry_it():
    """A stream whose next block lies behind those of a long prompt: most of what all have is passed at once, and none of it taken."""
    found, memory = begun(30)
    counts = []
    for blocks in (10, 60, 61, 62):
        memory.keep_for(plan(blocks, count=BLOCK, arenas=[Arena(0, 150)]), GEOMETRIES)
        counts.append(resized(found))
    assert counts == [1, 2, 3, 4]


def test_a_step_that_needs_what_is_new_has_it_in_every_layer():
    for needs in (plan(101, arenas=[Arena(0, 150)]), plan(9, arenas=[Arena(0, 150)], moves=(Move((3,), (120,)),))):
        found, memory = begun(30)
        memory.keep_for(plan(50, arenas=[Arena(0, 150)]), GEOMETRIES)
        memory.keep_for(needs, GEOMETRIES)
        assert resized(found) == 30


def test_a_long_prompt_behind_all_there_is_has_what_its_first_steps_need_and_the_rest_comes_in_these():
    found, memory = begun(30)
    whole, counts = {0: 1000 * BLOCK}, []
    for blocks in range(110, 160, 8):
        memory.keep_for(plan(blocks, count=8 * BLOCK, arenas=[Arena(0, 1000)]), GEOMETRIES)
        assert min(layer.store.slots[0] for layer in found) >= blocks * BLOCK
        counts.append(sum(layer.store.slots == whole for layer in found))
    assert counts == [0, 6, 12, 18, 24, 30, 30]
    assert all(layer.store.copied == 3 for layer in found)


def test_what_a_step_needs_beyond_that_it_has_too():
    found, memory = begun(30)
    memory.keep_for(plan(110, arenas=[Arena(0, 1000)]), GEOMETRIES)
    assert [layer.store.slots[0] for layer in found] == [115 * BLOCK] * 30
    memory.keep_for(plan(200, arenas=[Arena(0, 1000)]), GEOMETRIES)
    assert [layer.store.slots[0] for layer in found] == [205 * BLOCK] * 30
    memory.keep_for(plan(900, arenas=[Arena(0, 1000)]), GEOMETRIES)
    assert [layer.store.slots[0] for layer in found] == [1000 * BLOCK] * 30


def test_of_layers_that_see_a_window_the_blocks_of_theirs_count():
    found = [*layers(3), *layers(3, group=1)]
    memory = ArenaMemory(found)
    memory.keep_for(StepPlan(arenas=(Arena(0, 100),), window_arenas=((Arena(0, 20),),)), GEOMETRIES)
    memory.keep_for(plan(10, arenas=[Arena(0, 100)], windows=(Run(0, 12),)), GEOMETRIES)
    assert [layer.store.slots[0] for layer in found[3:]] == [20 * BLOCK] * 3  # those before had their size, and were first
    memory.keep_for(plan(30, arenas=[Arena(0, 100)], windows=(Run(0, 40),)), GEOMETRIES)
    assert [layer.store.slots[0] for layer in found[3:]] == [50 * BLOCK] * 3


def test_an_arena_that_comes_goes_or_shrinks_does_so_at_once():
    for arenas in ([Arena(0, 100), Arena(1, 5)], [Arena(0, 60)], [Arena(1, 100)]):
        found, memory = begun(10)
        memory.keep_for(plan(1, arenas=arenas), GEOMETRIES)
        assert all(layer.store.slots == {arena.number: arena.blocks * BLOCK for arena in arenas} for layer in found)


def test_what_is_late_is_done_when_everything_is_wished_at_once():
    found, memory = begun(10)
    memory.keep_for(plan(1, arenas=[Arena(0, 150)]), GEOMETRIES)
    assert 0 < resized(found) < 10
    memory.keep(((Arena(0, 150),),), BLOCK)
    assert resized(found) == 10


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60), st.booleans()), max_size=30), st.integers(1, 8))
def test_whatever_comes_every_layer_has_what_the_step_needs(steps, count):
    """Arenas that grow again before all have grown, shrink, and are needed to their very ends."""
    found = layers(count)
    memory, size, most = ArenaMemory(found), 1, 0
    for taken, more, shrinks in steps:
        size = max(most, size - more) or 1 if shrinks else size + more
        most = min(size, most + taken)
        memory.keep_for(plan(most or 1, arenas=[Arena(0, size)]), GEOMETRIES)
        assert all(most * BLOCK <= layer.store.slots[0] <= size * BLOCK for layer in found)


def test_no_step_of_a_stream_copies_the_arenas_of_all_layers():
    rig = PagedRig(architecture("llama"), arena_blocks=1000, max_arenas=1)
    rig.add("other", words(1, 500), max_tokens=1)
    rig.run()
    rig.add("stream", words(2, 40), max_tokens=400)
    rig.step()
    rig.step()
    copies = []
    while not rig.runner.is_idle:
        before = [layer.store.nbytes for layer in rig.model.layers]
        rig.step()
        copies.append(sum(now != had for now, had in zip((layer.store.nbytes for layer in rig.model.layers), before, strict=True)))
    assert sum(copies) >= 2 * len(rig.model.layers)  # it had to grow, more than once
    assert max(copies[:-2]) < len(rig.model.layers)


@pytest.mark.parametrize("ahead", [False, True])
def test_steps_tell_what_copying_took_and_no_step_costs_it(monkeypatch, ahead):
    """The clock stands still but while anything is copied."""
    now = 0.0
    monkeypatch.setattr("mlxd.worker.runtime.paged.executor.monotonic", lambda: now)
    rig = PagedRig(architecture("llama"), arena_blocks=1000, max_arenas=1, ahead=ahead)
    keep_for, run, told = rig.model.keep_for, rig.executor.run, []

    def slow(plan):
        nonlocal now
        keep_for(plan)
        now += 5.0

    def heard(plan):
        copies = rig.model.copies_for(plan) if plan.chunks else False
        result = run(plan)
        if result is not None:
            told.append((copies, result.copied))
        return result

    monkeypatch.setattr(rig.model, "keep_for", slow)
    monkeypatch.setattr(rig.executor, "run", heard)
    rig.add("stream", words(2, 40), max_tokens=100)
    rig.run()
    assert any(copies for copies, _ in told)
    assert all(seconds == (5.0 if copies else 0.0) for copies, seconds in told)


def test_what_was_copied_is_not_what_the_step_took():
    result = StepResult(StepPlan(), {}, {}, copied=0.25, encoded=Encoded({}, {}, 0.5))
    assert result.besides == 0.75
