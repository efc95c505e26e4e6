"""Rotary embeddings that share a step's angles: equal to mlx-lm's own to the bit, and only where their rows are those of the step."""

import mlx.core as mx
import pytest
from mlx import nn
from mlx_lm.models.rope_utils import Llama3RoPE, YarnRoPE

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.kv.block_table import Run
from mlxd.worker.runtime.paged.attention.plan import plan_attention
from mlxd.worker.runtime.paged.attention.ways import Ways
from mlxd.worker.runtime.paged.layer_cache import Step
from mlxd.worker.runtime.paged.rotary import SharedRotations
from mlxd.worker.runtime.paged.slots import Geometry

SCALING = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
EMBEDDINGS = {
    "pairs": lambda: nn.RoPE(32, traditional=True),
    "halves": lambda: nn.RoPE(32, traditional=False, base=500_000.0),
    "scaled": lambda: nn.RoPE(32, traditional=False, scale=0.25),
    "scaled pairs": lambda: nn.RoPE(32, traditional=True, scale=1 / 3),
    "llama 3": lambda: Llama3RoPE(32, scaling_config=SCALING),
}
CHUNKS = (Chunk("a", 1000, 1, (1,), (Run(0, 100),), samples=False), Chunk("b", 17, 5, (1, 2, 3, 4, 5), (Run(100, 110),), samples=False))


class Layers(nn.Module):
    """Two layers' embeddings."""

    def __init__(self, make):
        super().__init__()
        self.layers = [make(), make()]


def begun(chunks=CHUNKS, *, one_row=False):
    step = Step(Ways.of_device(16, fused=False))
    step.begin(plan_attention(chunks, Geometry(16, 200), one_row=one_row))
    return step, step.plan.positions.offset


def states(batch, length=1, dims=32, dtype=mx.float32):
    """As projections are: heads behind tokens, and swapped."""
    return mx.random.normal((batch, length, 3, dims), key=mx.random.key(5)).swapaxes(1, 2).astype(dtype)


@pytest.mark.parametrize("name", EMBEDDINGS)
@pytest.mark.parametrize(("chunks", "length"), [(CHUNKS, 1), (CHUNKS[1:], 5)], ids=["rows", "one row"])
def test_equal_to_the_bit(name, chunks, length):
    make = EMBEDDINGS[name]
    step, offset = begun(chunks, one_row=length > 1)
    model = Layers(make)
    SharedRotations(model, step)
    x = states(offset.size, length)
    expected = make()(x, offset=offset)
    for rope in model.layers:
        assert mx.array_equal(rope(x, offset=offset), expected)


def operations(*arrays, path):
    mx.export_to_dot(str(path), *arrays)
    return path.read_text().count("shape=rectangle")


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_a_layer_takes_few_operations(name, tmp_path):
    step, offset = begun()
    model = Layers(EMBEDDINGS[name])
    x = states(offset.size)
    mx.eval(x)
    before = operations(*(rope(x, offset) for rope in model.layers), path=tmp_path / "graph")
    SharedRotations(model, step)
    first = operations(model.layers[0](x, offset), path=tmp_path / "graph")
    both = operations(*(rope(x, offset) for rope in model.layers), path=tmp_path / "graph")
    assert both - first <= 10
    assert both < before


def test_each_step_has_its_own_angles():
    step, offset = begun()
    model = Layers(EMBEDDINGS["halves"])
    SharedRotations(model, step)
    x = states(offset.size)
    model.layers[0](x, offset=offset)
    later = plan_attention([Chunk("a", 1001, 1, (1,), (Run(0, 100),), samples=False)], Geometry(16, 200))
    step.begin(later)
    x, offset = states(1), later.positions.offset
    assert mx.array_equal(model.layers[0](x, offset=offset), EMBEDDINGS["halves"]()(x, offset=offset))


@pytest.mark.parametrize(
    ("dims", "dtype", "of_step"),
    [(32, mx.float32, False), (32, mx.bfloat16, True), (48, mx.float32, True)],
    ids=["other rows", "half", "partly"],
)
def test_whatever_is_not_the_same_is_left_to_mlx_lm(dims, dtype, of_step):
    step, offset = begun()
    model = Layers(EMBEDDINGS["pairs"])
    SharedRotations(model, step)
    x = states(offset.size, dims=dims, dtype=dtype)
    offset = offset if of_step else offset + 0
    assert mx.array_equal(model.layers[0](x, offset=offset), EMBEDDINGS["pairs"]()(x, offset=offset))
    assert mx.array_equal(model.layers[0](x, offset=3), EMBEDDINGS["pairs"]()(x, offset=3))


def test_before_the_first_step():
    model = Layers(EMBEDDINGS["pairs"])
    SharedRotations(model, Step(Ways.of_device(16, fused=False)))
    x, offset = states(2), mx.array([1, 2])
    assert mx.array_equal(model.layers[0](x, offset=offset), EMBEDDINGS["pairs"]()(x, offset=offset))


def test_a_model_is_left_as_it_was():
    model = Layers(EMBEDDINGS["llama 3"])
    model.other = YarnRoPE(32, scaling_factor=2.0)
    rotations = SharedRotations(model, begun()[0])
    assert type(model.layers[0]) is not Llama3RoPE
    assert type(model.layers[0]) is type(model.layers[1]), "one class for all layers that rotate alike"
    assert type(model.other) is YarnRoPE
    rotations.remove()
    assert type(model.layers[0]) is Llama3RoPE
