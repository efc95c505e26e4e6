"""Keys and values of 8 bits: what is stored, what is computed with it, and what may never be taken for a number."""

from dataclasses import dataclass

import mlx.core as mx
import numpy as np
import pytest

from mlxd.worker.kv.manager import Move
from mlxd.worker.runtime.paged.attention.attention import Layer
from mlxd.worker.runtime.paged.attention.plan import plan_attention
from mlxd.worker.runtime.paged.attention.rows import fused_attention, grouped_attention
from mlxd.worker.runtime.paged.finite_blocks import not_finite_blocks
from mlxd.worker.runtime.paged.quantized import quantized_arenas, vectors
from mlxd.worker.runtime.paged.quantized.products import CpuProducts, GpuProducts
from mlxd.worker.runtime.paged.quantized.quantized_arenas import Int8
from mlxd.worker.runtime.paged.slots import Copy, Geometry, Pick, Scatter, Slots, Span
from tests.worker.attention.steps import chunk

BY = [CpuProducts, GpuProducts]
GEOMETRY = Geometry(16, 40)
HEADS, GROUP = 2, 3
ways = pytest.mark.parametrize("by", BY, ids=["cpu", "gpu"])
dims = pytest.mark.parametrize(("dim", "group"), [(64, 64), (128, 64), (96, 32), (256, 64)])


@pytest.fixture
def _small_pieces(monkeypatch):
    monkeypatch.setattr(vectors, "_CACHED_BYTES", 2**13)
    monkeypatch.setattr(vectors, "_MOST_BYTES", 2**13)


def normal(*shape, seed=0, dtype=mx.float32):
    return mx.random.normal(shape, key=mx.random.key(seed)).astype(dtype)


def filled(kind, dim, *, arenas=1, dtype=mx.float32, value_dim=None):
    store, written = kind.store(GEOMETRY.arena_slots), {}
    for arena in range(arenas):
        keys = normal(1, HEADS, GEOMETRY.arena_slots, dim, seed=arena, dtype=dtype)
        values = normal(1, HEADS, GEOMETRY.arena_slots, value_dim or dim, seed=9 + arena, dtype=dtype)
        store.write([Span(arena, 0, 0, GEOMETRY.arena_slots)], keys, values)
        written[arena] = keys, values
    mx.eval(store.tensors())
    return store, written


def exact(array):
    return np.array(array.astype(mx.float32), dtype=np.float64)


def stored(store, arena):
    """The keys and values that a store holds, as they are by definition, in float64."""
    found = []
    for one in store.arena(arena):
        levels, params = np.array(one.elements, dtype=np.float64), exact(one.params)
        scales, biases = np.split(params, 2, axis=-1)
        by_group = levels.reshape(*levels.shape[:2], scales.shape[-1], -1)
        found.append((by_group * scales[..., None] / 128 + biases[..., None]).reshape(levels.shape)[:, :-1])  # the last slot is spare
    return found


@dims
@pytest.mark.parametrize("size", [1e-4, 1.0, 9000.0])
@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)
def test_what_is_stored_is_near_what_was_written(dim, group, dtype, size):
    store = Int8(CpuProducts(group)).store(GEOMETRY.arena_slots)
    vectors = (size * normal(1, HEADS, GEOMETRY.arena_slots, dim)).astype(dtype)
    store.write([Span(0, 0, 0, GEOMETRY.arena_slots)], vectors, vectors)
    written = exact(vectors)[0]
    for kept in stored(store, 0):
        assert np.sqrt(np.mean((kept - written) ** 2) / np.mean(written**2)) < 0.006
        assert np.abs(kept - written).max() <= 0.8 * np.abs(written).max() / 127


@dims
def test_a_token_takes_what_it_says(dim, group):
    store, _ = filled(Int8(CpuProducts(group)), dim, arenas=2)
    assert store.token_bytes == 2 * HEADS * (dim + 4 * dim // group)
    assert store.nbytes == 2 * (GEOMETRY.arena_slots + 1) * store.token_bytes


@ways
@dims
@pytest.mark.parametrize("rows", [1, 12, 40])
def test_products_and_sums_are_of_what_is_stored(by, dim, group, rows):
    store, _ = filled(Int8(by(group)), dim, arenas=2)
    where = [Slots(1, 3, 200), Slots(0, 17, 18), Slots(0, 100, 333)]
    keys, values = (np.concatenate([stored(store, one.arena)[at][:, one.start : one.stop] for one in where], axis=1) for at in (0, 1))
    queries = normal(1, HEADS, rows, dim, seed=5)
    found = exact(store.scores(queries, where))[0]
    np.testing.assert_allclose(found, exact(queries)[0] @ keys.swapaxes(-1, -2), atol=2e-4)
    weights = mx.softmax(normal(1, HEADS, rows, keys.shape[1], seed=6), axis=-1)
    np.testing.assert_allclose(exact(store.mix(weights, where))[0], exact(weights)[0] @ values, atol=2e-5)


@pytest.mark.usefixtures("_small_pieces")
@ways
@pytest.mark.parametrize("rows", [1, 40])
def test_they_are_whatever_the_pieces(by, rows):
    test_products_and_sums_are_of_what_is_stored(by, 64, 64, rows)


@ways
def test_copies_are_of_what_is_stored(by):
    store, _ = filled(Int8(by(64)), 128)
    slots = mx.array([[3, 5, 600], [0, 0, 1]])
    for found, right in zip(store.take(Pick(0, slots)), stored(store, 0), strict=True):
        np.testing.assert_allclose(exact(found), right[:, np.array(slots)].swapaxes(0, 1), atol=1e-5)


def attended(step, kind, attention, *, dtype=mx.float32, window=None, sinks=False, value_dim=None, dim=64):
    """What a layer gives for a step, and what it should give for what is stored."""
    store, _ = filled(kind, dim, dtype=dtype, value_dim=value_dim)
    rows = sum(one.count for one in step)
    queries = normal(rows, HEADS * GROUP, dim, seed=3, dtype=dtype)
    own = normal(HEADS * GROUP, seed=4, dtype=dtype) if sinks else None
    plan = plan_attention(step, GEOMETRY)
    found = attention(queries, Layer(store, dim**-0.5, window, own), plan if window is None else plan.windowed(window))
    assert found.dtype == dtype
    keys, values = stored(store, 0)
    return exact(found), Expected(keys, values, window, None if own is None else exact(own)).rows(step, exact(queries))


@dataclass(frozen=True)
class Expected:
    keys: np.ndarray
    values: np.ndarray
    window: int | None
    sinks: np.ndarray | None

    def rows(self, step, queries):
        found = []
        for one in step:
            slots = [slot for run in one.runs for block in run for slot in range(16 * block, 16 * block + 16)]
            for end in range(one.start + 1, one.start + one.count + 1):
                found.append(self._row(queries[len(found)], slots[max(0, end - self.window) if self.window else 0 : end]))
        return np.stack(found)

    def _row(self, query, seen):
        scores = query.reshape(HEADS, GROUP, -1) @ self.keys[:, seen].swapaxes(-1, -2) * self.keys.shape[-1] ** -0.5
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        total = weights.sum(axis=-1, keepdims=True)
        if self.sinks is not None:
            total += np.exp(self.sinks.reshape(HEADS, GROUP, 1) - scores.max(axis=-1, keepdims=True))
        return (weights @ self.values[:, seen] / total).reshape(HEADS * GROUP, -1)


STEPS = {
    "rows": [chunk("a", 70, 1, range(5), GEOMETRY), chunk("b", 20, 1, [7, 30], GEOMETRY)],
    "a shared beginning": [chunk(name, 100 + at, 1, [*range(6), 10 + 2 * at], GEOMETRY) for at, name in enumerate("ab")],
    "a prompt": [chunk("a", 40, 50, [*range(3), *range(20, 23)], GEOMETRY)],
    "both": [chunk("a", 33, 1, [1, 2, 3], GEOMETRY), chunk("b", 0, 20, [8, 9], GEOMETRY)],
}


@ways
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("attention", [grouped_attention, fused_attention])
@pytest.mark.parametrize("options", [{}, {"sinks": True}, {"window": 21}, {"value_dim": 128}], ids=["plain", "sinks", "window", "values"])
def test_attention_is_over_what_is_stored(by, name, attention, options):
    found, right = attended(STEPS[name], Int8(by(64)), attention, **options)
    np.testing.assert_allclose(found, right, atol=2e-5)


@pytest.mark.parametrize(("dtype", "rounding"), [(mx.float16, 2e-3), (mx.bfloat16, 1.6e-2)], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("name", STEPS)
def test_attention_in_half_precision(dtype, rounding, name):
    found, right = attended(STEPS[name], Int8(CpuProducts(32)), grouped_attention, dtype=dtype, dim=96)
    np.testing.assert_allclose(found, right, atol=rounding)


@pytest.mark.parametrize("sinks", [True, False])
def test_a_fused_kernel_gets_a_few_heads_at_a_time(sinks, monkeypatch):
    monkeypatch.setattr(quantized_arenas, "_FUSED_BYTES", 1)
    calls = []
    fused = mx.fast.scaled_dot_product_attention
    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", lambda *given, **options: calls.append(1) or fused(*given, **options))
    found, right = attended(STEPS["a prompt"], Int8(GpuProducts(64)), fused_attention, sinks=sinks)
    assert len(calls) == HEADS
    np.testing.assert_allclose(found, right, atol=2e-5)


@pytest.mark.parametrize(
    "writes", [[Scatter(0, [5, 2, 9])], [Scatter(0, [5, 9], [0, 2]), Scatter(1, [1], [1])], [Span(0, 14, 0, 1), Span(1, 0, 1, 2)]]
)
def test_a_token_is_found_where_it_was_written_and_nothing_else_changes(writes):
    store, _ = filled(Int8(CpuProducts(64)), 64, arenas=2)
    before = {arena: stored(store, arena) for arena in (0, 1)}
    keys = normal(3, HEADS, 1, 64, seed=77)
    store.write(writes, keys, 2 * keys)
    alone = Int8(CpuProducts(64)).store(3)
    alone.write([Span(0, 0, 0, 3)], keys.swapaxes(0, 2), 2 * keys.swapaxes(0, 2))
    for write in writes:
        slots = np.array(write._slots).tolist() if isinstance(write, Scatter) else range(write.start, write.start + write.count)
        rows = range(write.first, write.first + write.count) if isinstance(write, Span) else range(write.count)
        if isinstance(write, Scatter) and write._rows is not None:
            rows = np.array(write._rows).tolist()
        for slot, row in zip(slots, rows, strict=True):
            for kept, new in zip(before[write.arena], stored(alone, 0), strict=True):
                kept[:, slot] = new[:, row]
    for arena, right in before.items():
        for kept, wanted in zip(stored(store, arena), right, strict=True):
            np.testing.assert_array_equal(kept, wanted)


def test_what_moved_is_bit_for_bit_at_its_new_place():
    store, _ = filled(Int8(CpuProducts(64)), 64, arenas=2)
    before = {arena: [np.array(one.view(mx.uint8)) for one in store.read(Slots(arena, 0, 640))] for arena in (0, 1)}
    store.copy(Copy.of(Move((7, 8, 39, 40), (20, 21, 60, 61)), GEOMETRY))
    after = {arena: [np.array(one.view(mx.uint8)) for one in store.read(Slots(arena, 0, 640))] for arena in (0, 1)}
    for source, target in ((7, 20), (8, 21), (39, 60), (40, 61)):
        of, to = GEOMETRY.slots(source), GEOMETRY.slots(target)
        for was, now in zip(before[of.arena], after[to.arena], strict=True):
            np.testing.assert_array_equal(now[:, :, to.start : to.stop], was[:, :, of.start : of.stop])


@pytest.mark.parametrize("bad", [mx.nan, mx.inf, -mx.inf])
def test_what_is_no_number_is_none_after_it_was_stored(bad):
    """MLX's quantization passes over what is none: a block would be found, and answer with something."""
    store, _ = filled(Int8(CpuProducts(64)), 128)
    keys = normal(1, HEADS, 1, 128, seed=1)
    spoiled = mx.where(mx.arange(128) == 100, bad, keys)
    store.write([Span(0, 16 * 5 + 3, 0, 1)], spoiled, keys)
    store.write([Span(0, 16 * 8, 0, 1)], keys, spoiled)
    assert not_finite_blocks(range(40), [store], GEOMETRY) == {5, 8}
    assert not np.isfinite(exact(store.scores(normal(1, HEADS, 1, 128), [Slots(0, 80, 96)]))[..., 3]).any()


def test_writing_takes_the_memory_of_what_is_written():
    store, _ = filled(Int8(CpuProducts(64)), 64)
    batch = normal(1, HEADS, 16, 64)
    mx.eval(batch)
    mx.clear_cache()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    store.write([Span(0, 32, 0, 16)], batch, batch)
    mx.eval(store.tensors())
    assert mx.get_peak_memory() - before < store.nbytes / 2
