"""Every way to attend gives what attention is by definition, whatever a step looks like."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.worker.runtime import x86
from mlxd.worker.runtime.paged.attention.gather import Gather
from mlxd.worker.runtime.paged.attention.plan import plan_attention
from mlxd.worker.runtime.paged.attention.rows import fused_attention, grouped_attention
from mlxd.worker.runtime.paged.slots import Geometry
from tests.support.examples import examples
from tests.worker.attention.layers import RandomLayer
from tests.worker.attention.steps import GEOMETRIES, chunk, chunks

WAYS = {
    "rows": grouped_attention,
    "rows, fused": fused_attention,
    "gather": Gather(grouped_attention, fused=False),
    "gather, fused": Gather(fused_attention, fused=True),
}
ROUNDING = {mx.float32: 1e-5, mx.float16: 4e-3, mx.bfloat16: 3e-2}
FUSED = {mx.float32: 1e-5, mx.float16: 1e-2, mx.bfloat16: 8e-2}  # scores are rounded, too: of 2600 steps one was seen to be half as far off
SHAPES = st.fixed_dictionaries(
    {
        "kv_heads": st.integers(1, 3),
        "group": st.integers(1, 4),
        "dim": st.sampled_from([4, 8, 64]),
        "sinks": st.booleans(),
        "window": st.none() | st.integers(1, 80),
        "seed": st.integers(0, 1000),
    }
)
ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(params=[True, False], ids=["powers", "exponentials"])
def _exponentials(request, monkeypatch):
    monkeypatch.setattr(x86, "_IS_X86", request.param)


@ways
@settings(deadline=None, max_examples=examples(24))
@given(st.data(), GEOMETRIES, SHAPES, st.sampled_from([mx.float32, mx.float16, mx.bfloat16]))
def test_it_is_exact(way, data, geometry, shape, dtype):
    """Rows that decode, prompts, shared beginnings, several runs and arenas; and nothing that a row does not see touches it."""
    step = data.draw(chunks(geometry, rows=st.sampled_from([1, 1, 1, 3])))
    layer = RandomLayer(step, geometry, dtype=dtype, **shape)
    rounding = (FUSED if "fused" in way else ROUNDING)[dtype]
    np.testing.assert_allclose(layer.attended(WAYS[way], plan_attention(step, geometry)), layer.expected(), atol=rounding, rtol=0)


@ways
@pytest.mark.usefixtures("_exponentials")
@pytest.mark.parametrize("window", [None, 300])
def test_it_is_exact_with_many_scores(way, window):
    geometry = Geometry(block_size=16, arena_blocks=50)
    step = [chunk(str(row), 400 + row, 1, range(30 * row, 30 * row + 30), geometry) for row in range(4)]
    layer = RandomLayer(step, geometry, window=window)
    assert layer.queries.shape[1] * 4 * 300 > x86.MANY
    np.testing.assert_allclose(layer.attended(WAYS[way], plan_attention(step, geometry)), layer.expected(), atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=examples(24))
@given(st.data(), GEOMETRIES, SHAPES)
def test_a_long_chunk_attends_in_blocks(data, geometry, shape):
    """Each block's rows see what they would see in the whole chunk, windows and sinks included."""
    step = data.draw(chunks(geometry, rows=st.integers(1, 6)))
    layer = RandomLayer(step, geometry, dtype=mx.float32, **shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlxd.worker.runtime.paged.attention.rows._AT_ONCE", data.draw(st.integers(1, 3)))
        found = layer.attended(grouped_attention, plan_attention(step, geometry))
    np.testing.assert_allclose(found, layer.expected(), atol=1e-5, rtol=0)
