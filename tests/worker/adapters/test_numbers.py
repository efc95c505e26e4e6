"""What the type of a model does not hold, or DoRA cannot divide by, is told when an adapter is loaded, and not by who asks for it."""

import mlx.core as mx
import numpy as np
import pytest

from mlxd.errors import AdapterFailedError
from tests.support.adapter_files import write_mlx_lm
from tests.worker.adapters.adapted_rig import AdaptedRig, keys, linear_shapes, tiny
from tests.worker.runner_rig import words


def with_zero_row(magnitude):
    loaded = tiny("llama")
    layer = loaded.model.layers[0].self_attn.q_proj
    layer.weight = layer.weight * mx.where(mx.arange(layer.weight.shape[0]) == 3, 0.0, 1.0)[:, None]
    shapes = {path: shape for path, shape in linear_shapes(loaded.model, "q_proj").items() if "layers.0" in path}
    (path,) = shapes
    magnitudes = np.ones(shapes[path][-1], np.float32)
    magnitudes[3] = magnitude
    return loaded, shapes, {path: magnitudes}


def told(rig, adapter):
    rig.add("a", words(1, 9), adapter=adapter)
    rig.run()
    return rig.failed.get("a")


def adapter_of_zero_row(tmp_path, magnitude):
    """Its B has nothing for the row whose weight is zero."""
    loaded, shapes, magnitudes = with_zero_row(magnitude)
    source = write_mlx_lm(tmp_path, shapes, scale=1.0, magnitudes=magnitudes, lora_parameters=keys(shapes))
    file = source / "adapters.safetensors"
    tensors = mx.load(str(file))
    for name, value in tensors.items():
        if name.endswith("lora_b"):
            tensors[name] = value * mx.where(mx.arange(value.shape[1]) == 3, 0.0, 1.0)
    mx.save_safetensors(str(file), tensors)
    return loaded, source


def test_a_row_of_zeros_stays_one(tmp_path):
    loaded, source = adapter_of_zero_row(tmp_path, 0.0)
    rig = AdaptedRig(loaded)
    assert told(rig, rig.fit(source)) is None


def test_a_row_of_zeros_has_no_length_that_could_be_changed(tmp_path):
    loaded, source = adapter_of_zero_row(tmp_path, 2.0)
    rig = AdaptedRig(loaded)
    error = told(rig, rig.fit(source))
    assert isinstance(error, AdapterFailedError)
    assert "layers.0.self_attn.q_proj" in error.message
    assert rig.store.nbytes == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_numbers_that_the_model_s_type_does_not_hold(tmp_path, dtype):
    loaded = tiny("llama", dtype=dtype)
    rig = AdaptedRig(loaded)
    error = told(rig, rig.fit(write_mlx_lm(tmp_path, linear_shapes(loaded.model, "q_proj"), scale=1e6)))
    assert (error is None) == (dtype == "bfloat16")
    assert error is None or "too large for float16" in error.message
