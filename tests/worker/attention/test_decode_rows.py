"""The arrays of decode rows name what each row sees, and nothing else."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.worker.runtime.paged.attention.decode_rows import DecodeRows, Padding
from mlxd.worker.runtime.paged.slots import Geometry
from tests.support.examples import examples
from tests.worker.attention.steps import GEOMETRIES, chunk, chunks, seen

BUCKETS = Padding(rows=(1, 2, 4, 8, 16), blocks=(4, 16))


def named(rows, row):
    """The arenas and slots that the arrays say a row sees, segment by segment."""
    found = []
    for segment in rows.segments:
        table = np.array(segment.table[row])
        slots = [slot for block in table for slot in range(block * rows.block_size, (block + 1) * rows.block_size)]
        found += [(segment.arena, slot) for slot in slots[segment.first[row].item() : segment.stop[row].item()]]
    return found


@settings(deadline=None, max_examples=examples(24))
@given(st.data(), GEOMETRIES, st.none() | st.integers(1, 60), st.sampled_from([Padding(), BUCKETS]))
def test_each_row_sees_its_tokens(data, geometry, window, padding):
    step = data.draw(chunks(geometry))
    rows = DecodeRows.of(step, geometry, window=window, padding=padding)
    wanted = [one for each in step for one in seen(each, geometry, window)]
    assert rows.count == len(wanted)
    assert [named(rows, row) for row in range(rows.count)] == [sorted(one, key=lambda place: place[0]) for one in wanted]


@settings(deadline=None, max_examples=examples(24))
@given(st.data(), GEOMETRIES)
def test_sizes_repeat_and_rows_beyond_those_that_are_real_see_one_slot(data, geometry):
    rows = DecodeRows.of(data.draw(chunks(geometry)), geometry, padding=BUCKETS)
    for segment in rows.segments:
        assert segment.table.shape[0] in BUCKETS.rows
        assert segment.table.shape[1] in BUCKETS.blocks
    assert all(named(rows, row) == [(rows.segments[0].arena, 0)] for row in range(rows.count, rows.segments[0].table.shape[0]))


def test_blocks_before_every_row_s_window_are_left_out():
    geometry = Geometry(block_size=4, arena_blocks=8)
    step = [chunk("a", 29, 3, range(8), geometry)]  # of 32 tokens; its rows see 25 to 29, to 30, to 31
    (segment,) = DecodeRows.of(step, geometry, window=5).segments
    assert segment.table.tolist() == [[6, 7]] * 3
    assert (segment.first.tolist(), segment.stop.tolist()) == ([1, 2, 3], [6, 7, 8])
