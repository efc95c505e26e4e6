"""Arenas that grow and shrink keep what they hold, at the price of a copy of one tensor at a time."""

import mlx.core as mx

from mlxd.worker.runtime.paged.arenas import Arenas
from mlxd.worker.runtime.paged.slots import SPARE, Scatter, Slots, Span

HEADS, WIDTH = 2, 8


def vectors(count, seed=0):
    return mx.random.normal((1, HEADS, count, WIDTH), key=mx.random.key(seed))


def test_arenas_keep_their_first_slots_whatever_size_they_are_given():
    store, keys, values = Arenas(1000), vectors(20), vectors(20, 1)
    store.keep({0: 20, 3: 8})
    store.write([Span(0, 0, 0, 20)], keys, values)
    store.write([Span(3, 4, 0, 4)], keys[:, :, :4], values[:, :, :4])
    for size in (64, 21, 20, 12):
        assert store.keep({0: size, 3: 8})
        assert not store.keep({0: size, 3: 8})
        kept = min(size, 20)
        read = store.read(Slots(0, 0, kept))
        assert all(mx.array_equal(got, want[:, :, :kept]) for got, want in zip(read, (keys, values), strict=True))
        assert mx.array_equal(store.read(Slots(3, 4, 8))[0], keys[:, :, :4])
        assert store.nbytes == (size + 1 + 8 + 1) * store.token_bytes


def test_arenas_that_are_not_named_are_gone():
    store = Arenas(16)
    for arena in (0, 1):
        store.write([Span(arena, 0, 0, 4)], vectors(4), vectors(4))
    assert store.keep({1: 16})
    assert [store.holds(Slots(arena, 0, 4)) for arena in (0, 1)] == [False, True]
    assert store.count == 1


def test_what_nobody_wants_goes_behind_the_last_slot_of_an_arena_of_any_size():
    store = Arenas(1000)
    for size in (4, 9):
        store.keep({0: size})
        store.write([Scatter(0, [1, SPARE])], vectors(2).swapaxes(0, 2), vectors(2, 1).swapaxes(0, 2))
        assert mx.array_equal(store.read(Slots(0, 1, 2))[0], vectors(2)[:, :, :1])
        assert not mx.any(store.read(Slots(0, 2, size))[0])


def test_growing_takes_the_memory_of_one_tensor_more_at_the_peak():
    layers, slots = [Arenas(4096) for _ in range(8)], 4096
    for layer in layers:
        layer.write([Span(0, 0, 0, slots)], vectors(slots), vectors(slots))
    mx.eval([tensor for layer in layers for tensor in layer.tensors()])
    tensor = layers[0].nbytes // 2
    mx.clear_cache()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    for layer in layers:
        layer.keep({0: slots * 5 // 4})
    grown = mx.get_active_memory() - before
    assert grown < 1.01 * 16 * tensor / 4
    assert mx.get_peak_memory() - before <= grown + 1.5 * tensor
