"""Calls of the decode kernel with random arrays, and what numpy says they give."""

from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from mlxd.worker.runtime.paged.attention.decode_rows import Segment
from mlxd.worker.runtime.paged.attention.kernel.decode_kernel import DecodeKernel
from mlxd.worker.runtime.paged.key_value_store import StoredVectors

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int32]
Exact = npt.NDArray[np.float64]

_ROUNDING = 2.0**-20  # of float32, some operations after one another


@dataclass(frozen=True)
class HeadShape:
    """What a kernel is compiled for: ``heads`` query heads to a KV head, of ``dim`` elements, and values of ``value_dim``. With ``group``,
    elements that share a scale and a bias, keys and values are levels of 8 bits.
    """

    dtype: mx.Dtype
    dim: int
    value_dim: int
    heads: int
    block_size: int = 16
    group: int | None = None

    def __str__(self) -> str:
        size = f"{self.dim}" if self.dim == self.value_dim else f"{self.dim}/{self.value_dim}"
        stored = f", in 8 bits by groups of {self.group}" if self.group else ""
        return f"{size}, {self.heads} to a KV head, {str(self.dtype).removeprefix('mlx.core.')}, blocks of {self.block_size}{stored}"


@dataclass(frozen=True)
class Vectors:
    """Keys or values ``[kv_heads, slots, width]``: what they are, and how they are stored."""

    exact: Exact
    stored: StoredVectors


@dataclass(frozen=True)
class KernelCase:
    """A call of the kernel: row ``b`` sees the tokens ``first[b]`` to ``stop[b]`` of its blocks ``table[b]``. Floats hold nothing that the
    shape's type would round.
    """

    shape: HeadShape
    queries: Floats
    keys: Vectors
    values: Vectors
    table: Counts
    first: Counts
    stop: Counts
    scale: float

    def found(self, kernel: DecodeKernel) -> tuple[Floats, Floats]:
        """Returns the output and the total that the kernel gives."""
        queries = mx.array(self.queries).astype(self.shape.dtype)
        seen = Segment(0, mx.array(self.table), mx.array(self.first), mx.array(self.stop))
        attended = kernel(queries, self.keys.stored, self.values.stored, seen, self.scale)
        return np.array(attended.output), np.array(attended.total)

    def expected(self) -> "Expected":
        """Returns what it should give, in float64."""
        rows, heads, _ = self.queries.shape
        right = Expected(np.zeros((rows, heads, self.values.exact.shape[2])), np.full((rows, heads), -np.inf), np.zeros((rows, heads)))
        for row in range(rows):
            if self.first[row] < self.stop[row]:
                self._attend(row, right)
        return right

    def error(self, kernel: DecodeKernel) -> float:
        """Returns how far the kernel is off, 1 being as far as float32 may be by rounding; infinity where something is no number."""
        output, total = self.found(kernel)
        right = self.expected()
        seen = np.isfinite(right.total)
        if not (
            (total[~seen] == -np.inf).all() and (output[~seen] == 0).all() and np.isfinite(total[seen]).all() and np.isfinite(output).all()
        ):
            return float("inf")
        bound = right.bound[seen]
        largest = max(1.0, float(np.nanmax(np.abs(self.values.exact), initial=0)))
        of_totals = np.abs(total[seen] - right.total[seen]) / bound
        of_outputs = np.abs(output[seen] - right.output[seen]).max(axis=-1, initial=0) / bound / largest
        return float(max(of_totals.max(initial=0), of_outputs.max(initial=0)))

    def _attend(self, row: int, right: "Expected") -> None:
        size, heads = self.shape.block_size, self.queries.shape[1]
        at = np.arange(self.first[row], self.stop[row])
        slots = self.table[row, at // size] * size + at % size
        queries = self.queries[row].reshape(len(self.keys.exact), -1, self.queries.shape[2]).astype(float) * np.float32(self.scale)
        keys, values = self.keys.exact[:, slots], self.values.exact[:, slots]
        scores = queries @ keys.swapaxes(1, 2)
        highest = scores.max(axis=-1, keepdims=True)
        weights = np.exp(scores - highest)
        total = weights.sum(axis=-1, keepdims=True)
        right.output[row] = (weights @ values / total).reshape(heads, -1)
        right.total[row] = (highest + np.log(total)).reshape(heads)
        terms = (np.abs(queries) @ np.abs(keys).swapaxes(1, 2)).max(axis=-1).reshape(heads)
        right.bound[row] = (1 + terms) * _ROUNDING


@dataclass(frozen=True)
class Expected:
    """The ``output`` and ``total`` of attention, and by how much a total may be off: a score's terms are rounded each."""

    output: Exact
    total: Exact
    bound: Exact


@dataclass
class CaseMaker:
    """Makes cases of one shape. Slots that no row sees hold what is no number: who reads one has a result that is none."""

    shape: HeadShape
    random: np.random.Generator
    sizes: tuple[float, ...] = field(default=(0.01, 1.0, 1.0, 8.0))  # of keys, values and queries

    def any(self, *, most_rows: int = 6, most_tokens: int = 400) -> KernelCase:
        """Returns one whose rows, KV heads and contexts are random too; some contexts are windows, some empty, some begin alike."""
        rows, kv_heads = int(self.random.integers(1, most_rows + 1)), int(self.random.integers(1, 4))
        blocks = int(self.random.integers(1, max(1, most_tokens // self.shape.block_size) + 1))
        shared = int(self.random.integers(0, blocks + 1)) if self.random.random() < 0.5 else 0
        stop = self.random.integers(0, blocks * self.shape.block_size + 1, rows)
        first = np.where(self.random.random(rows) < 0.5, 0, self.random.integers(0, stop + 1))
        return self.of(kv_heads, blocks, shared, first, stop)

    def of(self, kv_heads: int, blocks: int, shared: int, first: Any, stop: Any) -> KernelCase:
        """Returns one whose rows have ``blocks`` each, of which all begin with the same ``shared`` ones."""
        size, rows = self.shape.block_size, len(stop)
        arena = rows * blocks + 2
        table = self.random.permutation(arena)[: rows * blocks].reshape(rows, blocks).astype(np.int32)
        table[:, :shared] = table[0, :shared]
        seen = np.zeros(arena * size, bool)
        for row in range(rows):
            at = np.arange(first[row], stop[row])
            seen[table[row, at // size] * size + at % size] = True
        keys, values = (self._vectors(kv_heads, width, seen) for width in (self.shape.dim, self.shape.value_dim))
        queries = self._floats(rows, kv_heads * self.shape.heads, self.shape.dim)
        scale = float(self.random.choice((1.0, 0.1, self.shape.dim**-0.5)))
        return KernelCase(self.shape, queries, keys, values, table, np.array(first, np.int32), np.array(stop, np.int32), scale)

    def _vectors(self, kv_heads: int, width: int, seen: npt.NDArray[np.bool_]) -> Vectors:
        if self.shape.group is not None:
            return self._levels(kv_heads, width, seen, self.shape.group)
        floats = self._floats(kv_heads, len(seen), width)
        floats[:, ~seen] = np.nan
        return Vectors(floats.astype(float), StoredVectors(mx.array(floats).astype(self.shape.dtype)))

    def _levels(self, kv_heads: int, width: int, seen: npt.NDArray[np.bool_], group: int) -> Vectors:
        """Returns random levels of scales and biases about as those of random elements are."""
        levels = self.random.integers(0, 256, (kv_heads, len(seen), width // group, group))
        size, sizes = self.random.choice(self.sizes), (kv_heads, len(seen), width // group)
        scales, biases = size * self.random.standard_normal(sizes) / 64, 2 * size * self.random.standard_normal(sizes)
        params = np.concatenate([128 * scales, biases], axis=-1).astype(np.float16)
        params[:, ~seen] = np.nan
        scales, biases = np.split(params.astype(float), 2, axis=-1)
        exact = levels * scales[..., None] / 128 + biases[..., None]
        stored = StoredVectors(mx.array(levels.reshape(kv_heads, len(seen), width).astype(np.uint8)), mx.array(params))
        return Vectors(exact.reshape(kv_heads, len(seen), width), stored)

    def _floats(self, *shape: int) -> Floats:
        drawn = self.random.standard_normal(shape) * self.random.choice(self.sizes)
        return np.array(mx.array(drawn.astype(np.float32)).astype(self.shape.dtype).astype(mx.float32))
