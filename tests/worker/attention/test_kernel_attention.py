"""Attending by the kernel, which runs on lanes here, gives what attention is by definition, whatever a step looks like."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.worker.runtime.paged.attention.kernel.decode_kernel import DecodeKernel
from mlxd.worker.runtime.paged.attention.kernel.kernel_attention import KernelAttention
from mlxd.worker.runtime.paged.attention.kernel.tiling import Tiling
from mlxd.worker.runtime.paged.attention.plan import plan_attention
from mlxd.worker.runtime.paged.attention.rows import grouped_attention
from mlxd.worker.runtime.paged.slots import Geometry
from tests.support.examples import examples
from tests.support.lanes.custom_kernel import METAL
from tests.worker.attention.layers import RandomLayer
from tests.worker.attention.steps import MOST_BLOCKS, chunk, chunks


def by_kernel(block_size, splits=2):
    kernel = DecodeKernel(METAL, block_size, lambda heads, *_: Tiling(heads, 2, splits))
    return KernelAttention(grouped_attention, kernel)


@settings(deadline=None, max_examples=examples(16))
@given(st.data(), st.sampled_from([4, 16]), st.booleans(), st.none() | st.integers(1, 80), st.integers(0, 1000))
def test_it_is_exact(data, block_size, sinks, window, seed):
    """Rows that decode, prompts, shared beginnings, several arenas; and nothing that a row does not see touches it."""
    geometry = Geometry(block_size, 5 * MOST_BLOCKS)
    step = data.draw(chunks(geometry, rows=st.sampled_from([1, 1, 1, 3])))
    layer = RandomLayer(step, geometry, sinks=sinks, window=window, seed=seed)
    found = layer.attended(by_kernel(block_size), plan_attention(step, geometry))
    np.testing.assert_allclose(found, layer.expected(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("dtype", "rounding"), [(mx.float16, 4e-3), (mx.bfloat16, 3e-2)], ids=["float16", "bfloat16"])
def test_it_is_exact_in_half_precision(dtype, rounding):
    geometry = Geometry(block_size=16, arena_blocks=50)
    step = [chunk(str(row), 400 + row, 1, range(30 * row, 30 * row + 30), geometry) for row in range(4)]
    layer = RandomLayer(step, geometry, dtype=dtype, dim=64, value_dim=64)
    found = layer.attended(by_kernel(16, splits=4), plan_attention(step, geometry))
    np.testing.assert_allclose(found, layer.expected(), atol=rounding, rtol=0)
