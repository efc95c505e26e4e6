"""Random calls of the decode kernel, and what numpy says they give."""

from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from hypothesis import strategies as st

from mlxd.worker.runtime.paged.attention.decode_rows import Segment
from mlxd.worker.runtime.paged.attention.kernel.decode_kernel import DecodeKernel
from mlxd.worker.runtime.paged.attention.kernel.tiling import Tiling
from tests.support.lanes.custom_kernel import METAL


@dataclass(frozen=True)
class Template:
    """What a kernel is compiled for: every head size there is, and groups, tiles, blocks and types of all kinds beside."""

    dtype: mx.Dtype
    dim: int
    value_dim: int
    heads: int  # query heads of a KV head
    tile: int
    block_size: int
    simdgroups: int


TEMPLATES = [
    Template(mx.float32, 64, 64, 3, 3, 16, 8),
    Template(mx.float16, 80, 80, 1, 1, 8, 2),
    Template(mx.bfloat16, 96, 96, 4, 3, 16, 4),
    Template(mx.float16, 128, 128, 8, 8, 32, 8),
    Template(mx.bfloat16, 192, 128, 5, 3, 16, 2),
    Template(mx.float32, 256, 256, 2, 2, 16, 4),
    Template(mx.float32, 16, 24, 2, 1, 3, 1),
]
MORE_TEMPLATES = [
    *TEMPLATES,
    *(
        Template(dtype, dim, dim, heads, min(heads, tile), block_size, simdgroups)
        for at, dim in enumerate((64, 80, 96, 128, 192, 256))
        for dtype, heads, tile, block_size, simdgroups in (
            (mx.float32, (1, 2, 4, 6, 7, 9)[at], 4, (16, 8, 32, 16, 64, 12)[at], 8),
            (mx.float16, (7, 5, 3, 16, 2, 4)[at], 8, (16, 16, 1, 64, 16, 16)[at], 4),
            (mx.bfloat16, (12, 8, 6, 4, 3, 1)[at], 6, (128, 16, 16, 16, 8, 5)[at], 2),
        )
    ),
]


@dataclass(frozen=True)
class Case:
    """A call of the kernel, its arrays in numpy: floats hold nothing that the type would round."""

    template: Template
    splits: int
    queries: np.ndarray
    keys: np.ndarray
    values: np.ndarray
    table: np.ndarray
    first: np.ndarray
    stop: np.ndarray
    scale: float

    def found(self, language=METAL):
        """Returns the output and the total of the kernel, written in ``language``."""
        template = self.template
        kernel = DecodeKernel(language, template.block_size, lambda *_: Tiling(template.tile, template.simdgroups, self.splits))
        floats = (mx.array(array).astype(template.dtype) for array in (self.queries, self.keys, self.values))
        seen = Segment(0, *(mx.array(array) for array in (self.table, self.first, self.stop)))
        attended = kernel(*floats, seen, self.scale)
        return np.array(attended.output), np.array(attended.total)

    def expected(self):
        """Returns the same in float64, and how far each may be off by rounding in float32."""
        rows, heads, _ = self.queries.shape
        output, total = np.zeros((rows, heads, self.values.shape[2])), np.full((rows, heads), -np.inf)
        bound = np.zeros((rows, heads))
        for row in range(rows):
            seen = np.arange(self.first[row], self.stop[row])
            if not len(seen):
                continue
            size = self.template.block_size
            slots = self.table[row, seen // size] * size + seen % size
            queries = self.queries[row].reshape(len(self.keys), -1, self.queries.shape[2]).astype(float) * np.float32(self.scale)
            keys, values = self.keys[:, slots].astype(float), self.values[:, slots].astype(float)
            scores = queries @ keys.swapaxes(1, 2)
            highest = scores.max(axis=-1, keepdims=True)
            weights = np.exp(scores - highest)
            output[row] = (weights @ values / weights.sum(axis=-1, keepdims=True)).reshape(heads, -1)
            total[row] = (highest[..., 0] + np.log(weights.sum(axis=-1))).reshape(-1)
            bound[row] = (np.abs(queries) @ np.abs(keys).swapaxes(1, 2)).max(axis=-1).reshape(-1)
        return output, total, (1 + bound) * 2.0**-20

    def check(self, language=METAL):
        """Raises ``AssertionError`` where the kernel is off by more than rounding."""
        output, total = self.found(language)
        right, right_total, bound = self.expected()
        seen = np.isfinite(right_total)
        assert (total[~seen] == -np.inf).all()
        assert (output[~seen] == 0).all()
        assert (np.abs(total[seen] - right_total[seen]) <= bound[seen]).all()
        largest = max(1.0, float(np.nanmax(np.abs(self.values), initial=0)))
        assert (np.abs(output[seen] - right[seen]) <= bound[seen][:, None] * largest).all()


def rounded(array, dtype):
    """Returns the array in float32, with nothing that ``dtype`` would round."""
    return np.array(mx.array(array.astype(np.float32)).astype(dtype).astype(mx.float32))


@st.composite
def cases(draw, templates):
    """Draws a case. Slots that no row sees hold what is no number: who reads one has a result that is none."""
    template = draw(st.sampled_from(templates))
    rows, kv_heads = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    blocks = draw(st.integers(1, max(1, draw(st.sampled_from((40, 40, 40, 300))) // template.block_size)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = template.block_size
    arena = rows * blocks + 2
    table = random.permutation(arena)[: rows * blocks].reshape(rows, blocks).astype(np.int32)
    if draw(st.booleans()):  # all begin with the same blocks
        shared = draw(st.integers(0, blocks))
        table[:, :shared] = table[0, :shared]
    ends = [draw(st.integers(0, blocks * size)) for _ in range(rows)]
    first = np.array([draw(st.sampled_from((0, 0, end, end - end // 3, end // 2))) for end in ends], np.int32)
    stop = np.array(ends, np.int32)

    def floats(*shape):
        return rounded(random.standard_normal(shape) * draw(st.sampled_from((0.01, 1.0, 1.0, 8.0))), template.dtype)

    keys, values = floats(kv_heads, arena * size, template.dim), floats(kv_heads, arena * size, template.value_dim)
    seen = np.zeros(arena * size, bool)
    for row in range(rows):
        at = np.arange(first[row], stop[row])
        seen[table[row, at // size] * size + at % size] = True
    keys[:, ~seen] = values[:, ~seen] = np.nan
    queries = floats(rows, kv_heads * template.heads, template.dim)
    splits = draw(st.sampled_from((1, 1, 2, 4, 16)))
    return Case(template, splits, queries, keys, values, table, first, stop, draw(st.sampled_from((1.0, 0.1, template.dim**-0.5))))
