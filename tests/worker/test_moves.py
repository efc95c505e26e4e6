"""Blocks that are moved: what was in them is at their new place, and a move takes the memory of what it moves."""

import mlx.core as mx
import numpy as np
import pytest

from mlxd.worker.kv.move import Move
from mlxd.worker.runtime.paged.arenas import Arenas
from mlxd.worker.runtime.paged.slots import Copy, Geometry, Slots, Span

BLOCK, BLOCKS = 4, 512
GEOMETRY = Geometry(BLOCK, BLOCKS)
DTYPES = pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)


def filled(heads, dtype, arenas=1, dim=32):
    """Every vector different from every other."""
    store, slots = Arenas(GEOMETRY.arena_slots), GEOMETRY.arena_slots
    for arena in range(arenas):
        batch = mx.random.normal((1, heads, slots, dim), key=mx.random.key(arena)).astype(dtype)
        store.write([Span(arena, 0, 0, slots)], batch, -batch)
    mx.eval(store.tensors())
    return store


def content(store, block):
    return [np.array(part.astype(mx.float32)) for part in store.read(GEOMETRY.slots(block))]


@DTYPES
@pytest.mark.parametrize("heads", [1, 3])
def test_what_moved_is_at_its_new_place_and_all_else_where_it_was(heads, dtype):
    store = filled(heads, dtype, arenas=2)
    source, target = (7, 8, 3, BLOCKS - 1, BLOCKS, 20), (100, 101, 102, 103, BLOCKS + 50, BLOCKS + 51)
    before = {block: content(store, block) for block in range(2 * BLOCKS)}
    store.copy(Copy.of(Move(source, target), GEOMETRY))
    mx.eval(store.tensors())
    came_from = dict(zip(target, source, strict=True))
    for block in range(2 * BLOCKS):
        for was, now in zip(before[came_from.get(block, block)], content(store, block), strict=True):
            assert np.array_equal(was, now)


@DTYPES
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("pieces", [1, 8])
def test_a_move_takes_the_memory_of_what_it_moves(heads, dtype, pieces):
    store = filled(heads, dtype)
    copy = Copy(tuple(Slots(0, 64 * at, 64 * at + 16) for at in range(pieces)), (Slots(0, 1024, 1024 + 16 * pieces),))
    moved = sum(part.nbytes for slots in copy.sources for part in store.read(slots))
    mx.clear_cache()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    store.copy(copy)
    mx.eval(store.tensors())
    assert mx.get_peak_memory() - before <= 2 * moved + 16 * 1024  # every allocation is rounded up to a page
    assert mx.get_active_memory() <= before


def test_blocks_move_to_an_arena_that_was_never_written_and_from_one():
    store = filled(2, mx.float32)
    before = content(store, 5)
    store.copy(Copy.of(Move((5,), (3 * BLOCKS,)), GEOMETRY))
    store.copy(Copy.of(Move((7 * BLOCKS,), (9,)), GEOMETRY))  # reserved, and nothing of it used yet
    mx.eval(store.tensors())
    assert all(np.array_equal(was, now) for was, now in zip(before, content(store, 3 * BLOCKS), strict=True))


def test_blocks_are_copied_run_by_run():
    found = Copy.of(Move((1, 2, 3, 9, 10), (20, 21, 22, 23, 30)), GEOMETRY)
    assert found.sources == (Slots(0, 4, 16), Slots(0, 36, 44))
    assert found.targets == (Slots(0, 80, 96), Slots(0, 120, 124))


def test_no_run_crosses_the_end_of_an_arena():
    found = Copy.of(Move((BLOCKS - 1, BLOCKS), (10, 11)), GEOMETRY)
    assert [slots.arena for slots in found.sources] == [0, 1]
