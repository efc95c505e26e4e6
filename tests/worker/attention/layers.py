"""Layers with random keys and values, and what attention over them is by definition: numpy, float64, row by row."""

import mlx.core as mx
import numpy as np

from mlxd.worker.runtime.paged.arenas import Arenas
from mlxd.worker.runtime.paged.attention.attention import Layer
from mlxd.worker.runtime.paged.slots import Span
from tests.worker.attention.steps import ARENAS, seen


class RandomLayer:
    """A layer whose arenas are full: whatever no row of ``step`` sees is no number. ``queries`` are of all rows of the step."""

    def __init__(self, step, geometry, *, kv_heads=2, group=3, dim=8, value_dim=8, dtype=mx.float32, sinks=False, window=None, seed=0):
        random = np.random.default_rng(seed)
        self.step, self.geometry, self.window, self.kv_heads = step, geometry, window, kv_heads
        places = {place for chunk in step for row in seen(chunk, geometry) for place in row}
        self.keys, self.values = {}, {}
        store = Arenas(geometry.arena_slots)
        for arena in range(ARENAS):
            free = [slot for slot in range(geometry.arena_slots) if (arena, slot) not in places]
            written = []
            for kept, width in ((self.keys, dim), (self.values, value_dim)):
                tensor = random.standard_normal((1, kv_heads, geometry.arena_slots, width))
                tensor[:, :, free] = np.nan
                written.append(mx.array(tensor).astype(dtype))
                kept[arena] = exact(written[-1])[0]
            store.write([Span(arena, 0, 0, geometry.arena_slots)], *written)
        rows = sum(chunk.count for chunk in step)
        self.queries = mx.array(2 * random.standard_normal((rows, kv_heads * group, dim))).astype(dtype)
        self.sinks = mx.array(random.standard_normal(kv_heads * group)).astype(dtype) if sinks else None
        self.layer = Layer(store, dim**-0.5, window, self.sinks)

    def attended(self, attention, plan):
        """What a way to attend gives, as float64."""
        found = attention(self.queries, self.layer, plan if self.window is None else plan.windowed(self.window))
        assert found.dtype == self.queries.dtype
        return exact(found)

    def expected(self):
        """What it should give."""
        rows = [places for chunk in self.step for places in seen(chunk, self.geometry, self.window)]
        return np.stack([self._row(query, places) for query, places in zip(exact(self.queries), rows, strict=True)])

    def _row(self, query, places):
        keys, values = (np.stack([kept[arena][:, slot] for arena, slot in places], axis=1) for kept in (self.keys, self.values))
        scores = self.layer.scale * query.reshape(self.kv_heads, -1, query.shape[-1]) @ keys.swapaxes(-1, -2)
        highest = scores.max(axis=-1, keepdims=True)
        weights = np.exp(scores - highest)
        total = weights.sum(axis=-1, keepdims=True)
        if self.sinks is not None:
            total += np.exp(exact(self.sinks).reshape(self.kv_heads, -1, 1) - highest)
        return (weights @ values / total).reshape(query.shape[0], -1)


def exact(array):
    return np.array(array.astype(mx.float32), dtype=np.float64)
