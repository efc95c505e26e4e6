"""Ways to attend tried out in one layer, with random keys and values: is one right on this device, and how long does it take?"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.kv.block_table import Run
from mlxd.worker.runtime.paged.attention.attention import Attention, Layer
from mlxd.worker.runtime.paged.attention.layer_shape import LayerShape
from mlxd.worker.runtime.paged.attention.plan import AttentionPlan, plan_attention
from mlxd.worker.runtime.paged.attention.regions import Region
from mlxd.worker.runtime.paged.slots import Geometry, Span, slots_of
from mlxd.worker.runtime.proof import difference

_LENGTHS = (1, 37, 150, 300, 83)  # tokens that the rows of a proof see
_CHAIN = {"cpu": 1, "gpu": 8}  # layers in a row, as in a model: so that waiting for the device is no part of it
_REPEATED = 3


@dataclass(frozen=True)
class Trial:
    """Tries layers like ``shape`` over blocks of ``block_size`` tokens."""

    shape: LayerShape
    block_size: int
    device: str

    def difference(self, attention: Attention, reference: Attention) -> float:
        """Returns the largest difference of the outputs, in standard deviations of those of the ``reference``: of rows of several lengths,
        over two arenas, with guesses, beside a prompt. What no row may see is no number.
        """
        chunks, geometry = _proof(self.block_size)
        layer = self._layer(geometry, arenas=2, seen=chunks)
        queries = self._queries(sum(chunk.count for chunk in chunks))
        outputs = [way(queries, layer, _plan(chunks, geometry, self.shape)) for way in (reference, attention)]
        return difference(*(output.reshape(output.shape[0], -1) for output in outputs))

    def seconds(self, ways: Sequence[Attention], region: Region) -> list[float]:
        """Returns the least time that each takes for one layer of a step of the region, all contexts in one run: rows' best case."""
        blocks = -(-region.tokens // self.block_size)
        geometry = Geometry(self.block_size, region.rows * blocks)
        layer = self._layer(geometry)
        queries = self._queries(region.rows)
        chunks = [_chunk(row, region.tokens, 1, (range(row * blocks, (row + 1) * blocks),)) for row in range(region.rows)]
        plan = _plan(chunks, geometry, self.shape)
        times = [[self._chain(way, queries, layer, plan) for way in ways] for _ in range(1 + _REPEATED)]
        return [min(each) / _CHAIN[self.device] for each in zip(*times[1:], strict=True)]

    def _chain(self, attention: Attention, queries: mx.array, layer: Layer, plan: AttentionPlan) -> float:
        """Returns the seconds that it took."""
        began = time.perf_counter()
        outputs = []
        for _ in range(_CHAIN[self.device]):
            outputs.append(attention(queries, layer, plan))
            queries = outputs[-1] if outputs[-1].shape == queries.shape else queries
        mx.eval(outputs)
        return time.perf_counter() - began

    def _queries(self, rows: int) -> mx.array:
        return _random((rows, self.shape.heads, self.shape.dim), self.shape.dtype, 1)

    def _layer(self, geometry: Geometry, arenas: int = 1, seen: Sequence[Chunk] = ()) -> Layer:
        """Returns a layer whose arenas are full of random numbers; with ``seen``, only what these see is any."""
        shape, store = self.shape, self.shape.kind.store(geometry.arena_slots)
        for arena in range(arenas):
            widths = shape.kind.written(shape.dim, shape.value_dim)
            sizes = [(1, shape.kv_heads, geometry.arena_slots, width) for width in widths]
            keys, values = (_random(size, shape.dtype, 2 + 2 * arena + at) for at, size in enumerate(sizes))
            if seen:
                number = _seen(seen, geometry, arena)[None, None, :, None]
                keys, values = (mx.where(number, one, mx.nan).astype(shape.dtype) for one in (keys, values))
            store.write([Span(arena, 0, 0, geometry.arena_slots)], keys, values)
        mx.eval(store.tensors())
        sinks = _random((shape.heads,), shape.dtype, 0) if shape.has_sinks else None
        return Layer(store, shape.scale, shape.window, sinks)


def _random(shape: tuple[int, ...], dtype: mx.Dtype, key: int) -> mx.array:
    found = mx.random.normal(shape, key=mx.random.key(key)).astype(dtype)
    mx.eval(found)
    return found


def _plan(chunks: Sequence[Chunk], geometry: Geometry, shape: LayerShape) -> AttentionPlan:
    plan = plan_attention(chunks, geometry)
    return plan if shape.window is None else plan.windowed(shape.window)


def _chunk(name: int, length: int, count: int, runs: Sequence[range], drafts: int = 0) -> Chunk:
    """Returns the chunk of the last ``count`` of so many tokens."""
    blocks = tuple(Run(run.start, run.stop) for run in runs)
    return Chunk(str(name), length - count, count, None, blocks, samples=True, drafts=drafts)


def _proof(size: int) -> tuple[list[Chunk], Geometry]:
    """Returns the chunks of a proof, in two arenas of one geometry: rows' blocks in two pieces, the first of them in the second arena."""
    needed = [math.ceil(length / size) for length in _LENGTHS]
    geometry = Geometry(size, sum(needed) + 2)
    chunks, free = [], [1, geometry.arena_blocks + 1]  # block 0 of each arena is nobody's
    for name, (length, blocks) in enumerate(zip(_LENGTHS, needed, strict=True)):
        first = blocks // 2
        pieces = [range(free[1], free[1] + first), range(free[0], free[0] + blocks - first)]
        free = [pieces[1].stop, pieces[0].stop]
        drafts = min(2, length - 1) if name % 2 else 0
        chunks.append(_chunk(name, length, 1 + drafts, [piece for piece in pieces if piece], drafts))
    prompt = range(free[0], free[0] + 1)
    return [*chunks, _chunk(len(chunks), min(size, 5), min(size, 5), [prompt])], geometry


def _seen(chunks: Sequence[Chunk], geometry: Geometry, arena: int) -> mx.array:
    """Tells of each slot of the arena whether it has a token of one of the chunks."""
    found = [False] * geometry.arena_slots
    for chunk in chunks:
        for slots in slots_of(chunk.runs, chunk.start + chunk.count, geometry):
            if slots.arena == arena:
                found[slots.start : slots.stop] = [True] * len(slots)
    return mx.array(found)
