"""Random calls of the decode kernel, for Hypothesis."""

import dataclasses
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from hypothesis import strategies as st

from benchmarks.gpu.kernel_cases import CaseMaker, HeadShape, KernelCase
from mlxd.worker.runtime.paged.attention.kernel.decode_kernel import DecodeKernel
from mlxd.worker.runtime.paged.attention.kernel.tiling import Tiling
from tests.support.lanes.custom_kernel import METAL


@dataclass(frozen=True)
class Tiled:
    """A case, and how its work is cut."""

    case: KernelCase
    tiling: Tiling

    def error(self, language=METAL):
        return self.case.error(self._kernel(language))

    def found(self, language=METAL):
        return self.case.found(self._kernel(language))

    def _kernel(self, language):
        return DecodeKernel(language, self.case.shape.block_size, lambda *_: self.tiling)


SHAPES = [  # with tiles and simdgroups of all kinds
    (HeadShape(mx.float32, 64, 64, 3), 3, 8),
    (HeadShape(mx.float16, 80, 80, 1, 8), 1, 2),
    (HeadShape(mx.bfloat16, 96, 96, 4), 3, 4),
    (HeadShape(mx.float16, 128, 128, 8, 32), 8, 8),
    (HeadShape(mx.bfloat16, 192, 128, 5), 3, 2),
    (HeadShape(mx.float32, 256, 256, 2), 2, 4),
    (HeadShape(mx.float32, 16, 24, 2, 3), 1, 1),
    (HeadShape(mx.float32, 64, 64, 3, group=64), 3, 8),
    (HeadShape(mx.bfloat16, 96, 96, 4, group=32), 3, 4),
    (HeadShape(mx.float16, 192, 128, 5, 32, group=64), 3, 2),
]
MORE_SHAPES = [
    *SHAPES,
    *(
        (HeadShape(dtype, dim, dim, heads, block_size), min(heads, tile), simdgroups)
        for at, dim in enumerate((64, 80, 96, 128, 192, 256))
        for dtype, heads, tile, block_size, simdgroups in (
            (mx.float32, (1, 2, 4, 6, 7, 9)[at], 4, (16, 8, 32, 16, 64, 12)[at], 8),
            (mx.float16, (7, 5, 3, 16, 2, 4)[at], 8, (16, 16, 1, 64, 16, 16)[at], 4),
            (mx.bfloat16, (12, 8, 6, 4, 3, 1)[at], 6, (128, 16, 16, 16, 8, 5)[at], 2),
        )
    ),
]
MORE_SHAPES += [
    (dataclasses.replace(shape, group=group), *tiled)
    for shape, *tiled in MORE_SHAPES
    for group in (64, 32)
    if not shape.group and not shape.dim % group and not shape.value_dim % group
]


@st.composite
def cases(draw, shapes):
    """Draws a case. Hypothesis chooses what makes it smaller; what its arrays hold comes of a seed."""
    shape, tile, simdgroups = draw(st.sampled_from(shapes))
    maker = CaseMaker(shape, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))
    blocks = draw(st.integers(1, max(1, draw(st.sampled_from((40, 40, 40, 300))) // shape.block_size)))
    stop = draw(st.lists(st.integers(0, blocks * shape.block_size), min_size=1, max_size=4))
    first = [draw(st.sampled_from((0, 0, end, end - end // 3, end // 2))) for end in stop]
    shared = draw(st.integers(0, blocks)) if draw(st.booleans()) else 0
    case = maker.of(draw(st.integers(1, 3)), blocks, shared, first, stop)
    return Tiled(case, Tiling(tile, simdgroups, draw(st.sampled_from((1, 1, 2, 4, 16)))))
