"""Attention over slices, and how tokens get there, against the definition in numpy."""

import mlx.core as mx
import numpy as np
import pytest

from mlxd.worker.runtime import x86
from mlxd.worker.runtime.paged.arenas import Arenas
from mlxd.worker.runtime.paged.attention.partial import attend, attend_partly, attend_runs
from mlxd.worker.runtime.paged.slots import Scatter, Slots, Span

HEADS, DIM = 2, 8


@pytest.fixture(params=[True, False], ids=["powers", "exponentials"])
def _way(request, monkeypatch):
    monkeypatch.setattr(x86, "_IS_X86", request.param)


def some(*shape, scale=1.0):
    return mx.random.normal(shape, key=mx.random.key(sum(shape))) * scale


def stored(keys, values, *lengths):
    """A store that holds them, and where: in runs of these lengths, the rest in one more, each in an arena of its own."""
    store, where, start = Arenas(keys.shape[2]), [], 0
    for arena, length in enumerate((*lengths, keys.shape[2] - sum(lengths))):
        part = slice(start, start + length)
        store.write([Span(arena, 0, 0, length)], keys[:, :, part], values[:, :, part])
        where.append(Slots(arena, 0, length))
        start += length
    return store, where


def expected(queries, keys, values, mask=None):
    """In float64."""
    queries, keys, values = (np.array(one, dtype=np.float64) for one in (queries, keys, values))
    scores = queries @ keys.swapaxes(-1, -2)
    if mask is not None:
        scores = np.where(np.repeat(np.array(mask), queries.shape[2] // mask.shape[0], axis=0), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights @ values / weights.sum(axis=-1, keepdims=True)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("length", [1, 7, x86.MANY // HEADS + 1])
@pytest.mark.parametrize("scale", [1.0, 30.0], ids=["near", "far apart"])
def test_attention_is_what_it_is_by_definition(length, scale):
    queries, keys, values = some(1, HEADS, 3, DIM, scale=scale), some(1, HEADS, length, DIM), some(1, HEADS, length, DIM)
    found = attend(queries, *stored(keys, values))
    np.testing.assert_allclose(np.array(found), expected(queries, keys, values), rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(np.array(attend_partly(queries, *stored(keys, values)).output), np.array(found), rtol=2e-4, atol=2e-5)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("rows", [5, 60])
def test_each_row_sees_what_its_mask_says(rows):
    length, group = rows + 11, 3
    queries, keys, values = some(1, HEADS, rows * group, DIM), some(1, HEADS, length, DIM), some(1, HEADS, length, DIM)
    mask = mx.arange(length)[None] <= mx.arange(length - rows, length)[:, None]
    np.testing.assert_allclose(
        np.array(attend(queries, *stored(keys, values), mask)), expected(queries, keys, values, mask), rtol=2e-4, atol=2e-5
    )


@pytest.mark.usefixtures("_way")
def test_two_halves_merged_are_the_whole():
    queries, keys, values = some(1, HEADS, 3, DIM), some(1, HEADS, 3000, DIM), some(1, HEADS, 3000, DIM)
    one, other = (attend_partly(queries, *stored(keys[:, :, part], values[:, :, part])) for part in (slice(0, 2900), slice(2900, None)))
    np.testing.assert_allclose(np.array(one.merged(other).output), expected(queries, keys, values), rtol=2e-4, atol=2e-5)


@pytest.mark.usefixtures("_way")
def test_runs_read_together_or_one_by_one_are_the_whole():
    queries, keys, values = some(1, HEADS, 3, DIM), some(1, HEADS, 30, DIM), some(1, HEADS, 30, DIM)
    for way in (attend, attend_runs):
        np.testing.assert_allclose(
            np.array(way(queries, *stored(keys, values, 3, 11))), expected(queries, keys, values), rtol=2e-4, atol=2e-5
        )


@pytest.mark.parametrize(
    "writes",
    [
        [Scatter(0, [5, 2, 9])],
        [Scatter(0, [5, 2]), Span(0, 30, 2, 1)],
        [Scatter(0, [5, 9], [0, 2]), Scatter(3, [1], [1])],
        [Span(0, 8, 0, 3)],
        [Span(0, 14, 0, 1), Span(3, 0, 1, 2)],
    ],
    ids=["all", "the first", "two arenas", "a span", "two spans"],
)
def test_a_token_is_found_where_it_was_written(writes):
    arenas, before = Arenas(32), some(1, HEADS, 32, DIM)
    for arena in {write.arena for write in writes}:
        arenas.write([Span(arena, 0, 0, 32)], before, before + 1)
    keys = some(3, HEADS, 1, DIM)
    arenas.write(writes, keys, keys + 1)
    table = {arena: np.array(before[0]).copy() for arena in {write.arena for write in writes}}
    for write in writes:
        slots = np.array(write._slots) if isinstance(write, Scatter) else range(write.start, write.start + write.count)
        rows = range(write.count) if isinstance(write, Scatter) else range(write.first, write.first + write.count)
        if isinstance(write, Scatter) and write._rows is not None:
            rows = np.array(write._rows)
        for slot, row in zip(slots, rows, strict=True):
            table[write.arena][:, slot] = np.array(keys)[row, :, 0]
    for arena, wanted in table.items():
        found_keys, found_values = arenas.read(Slots(arena, 0, 32))
        np.testing.assert_array_equal(np.array(found_keys[0]), wanted)
        np.testing.assert_allclose(np.array(found_values[0]), wanted + 1, rtol=1e-6)
