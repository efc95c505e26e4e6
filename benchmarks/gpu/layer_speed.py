"""One layer's attention of decode rows alone: the kernel over blocks that lie anywhere, beside MLX's fused attention over one rectangle,
as a cache has it that copies and pads. A layer's keys and values are read once in each call.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from mlxd.worker.runtime.paged.attention.decode_rows import Segment
from mlxd.worker.runtime.paged.attention.kernel.decode_kernel import DecodeKernel
from mlxd.worker.runtime.paged.attention.kernel.language import Language
from mlxd.worker.runtime.paged.key_value_store import StoredVectors

BLOCK_SIZE = 16
HEADS, KV_HEADS, DIM = 32, 8, 128  # as most models of 4 to 14 billion weights have
_CALLS = 8  # in a graph, so that what one call costs in waiting is no matter


@dataclass(frozen=True)
class LayerSpeed:
    """Microseconds of a call, and how many gigabytes of keys and values the kernel read in a second."""

    rows: int
    tokens: int
    kernel: float
    fused: float

    def cells(self) -> list[str]:
        """Returns a row of the table."""
        read = 2 * self.rows * self.tokens * KV_HEADS * DIM * 2 / self.kernel / 1e3
        shape = f"{self.rows} rows of {self.tokens} tokens"
        return [shape, f"{self.kernel:.0f}", f"{self.fused:.0f}", f"{self.fused / self.kernel:.2f}", f"{read:.0f}"]


def measured(language: Language, rows: int, tokens: int, rounds: int) -> LayerSpeed:
    """Returns the speed in float16, rounds taking turns."""
    blocks = -(-tokens // BLOCK_SIZE)
    random = np.random.default_rng(rows)
    keys, values = (mx.random.normal((KV_HEADS, rows * blocks * BLOCK_SIZE, DIM)).astype(mx.float16) for _ in range(2))
    table = mx.array(random.permutation(rows * blocks).reshape(rows, blocks).astype(np.int32))
    seen = Segment(0, table, mx.zeros(rows, mx.int32), mx.full(rows, tokens, mx.int32))
    queries = [mx.random.normal((rows, HEADS, DIM)).astype(mx.float16) for _ in range(_CALLS)]
    rectangle = [mx.contiguous(tensor.reshape(KV_HEADS, rows, -1, DIM).swapaxes(0, 1)[:, :, :tokens]) for tensor in (keys, values)]
    mx.eval(keys, values, table, queries, rectangle)
    kernel, stored = DecodeKernel(language, BLOCK_SIZE), [StoredVectors(tensor) for tensor in (keys, values)]

    def by_kernel() -> list[mx.array]:
        return [kernel(query, *stored, seen, DIM**-0.5).output for query in queries]

    def fused() -> list[mx.array]:
        return [mx.fast.scaled_dot_product_attention(query[:, :, None], *rectangle, scale=DIM**-0.5) for query in queries]

    took = [[_seconds(way) for way in (by_kernel, fused)] for _ in range(rounds + 1)][1:]
    return LayerSpeed(rows, tokens, *(1e6 * statistics.median(times) / _CALLS for times in zip(*took, strict=True)))


def shapes(rows: tuple[int, ...], tokens: tuple[int, ...], most: int = 2**18) -> Iterator[tuple[int, int]]:
    """Yields the combinations that fit into memory, ``most`` tokens in all."""
    yield from ((count, length) for count in rows for length in tokens if count * length <= most)


def _seconds(way: Callable[[], list[mx.array]]) -> float:
    began = time.perf_counter()
    mx.eval(way())
    return time.perf_counter() - began
