"""What stands for MLX's own functions on x86 gives what they give."""

import math

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models import activations, llama

from mlxd.worker.runtime import x86
from mlxd.worker.runtime.loading import load
from tests.support.tiny_model import make_tiny_model

VALUES = [0.0, -0.0, 1e-6, -1.0, 3.5, 20.0, -20.0, 88.0, -88.0, 200.0, -200.0, -3e38]


@pytest.fixture(params=[True, False], ids=["x86", "another"])
def _machine(request, monkeypatch):
    monkeypatch.setattr(x86, "_IS_X86", request.param)


@pytest.mark.usefixtures("_machine")
def test_exponentials():
    found = np.array(x86.exp(mx.array([0.0, -1.0, 5.0, -80.0, 88.0, 89.0, -200.0, -mx.inf])))
    np.testing.assert_allclose(found, np.exp(np.array([0.0, -1.0, 5.0, -80.0, 88.0, np.inf, -np.inf, -np.inf])), rtol=1e-5)


@pytest.mark.usefixtures("_machine")
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16, mx.float16], ids=["float32", "bfloat16", "float16"])
def test_swiglu(dtype):
    gate = mx.array(VALUES[:-1] if dtype == mx.float16 else VALUES).astype(dtype)
    x = mx.full(gate.shape, 0.75, dtype)
    found, expected = x86.swiglu(gate, x), activations.swiglu(gate, x)
    assert found.dtype == dtype
    np.testing.assert_allclose(np.array(found.astype(mx.float32)), np.array(expected.astype(mx.float32)), rtol=1e-5, atol=1e-30)


@pytest.mark.usefixtures("_machine")
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16], ids=["float32", "bfloat16"])
def test_gelu(dtype):
    x = mx.array([*VALUES[:-1], *np.linspace(-7, 7, 1001).tolist()]).astype(dtype)
    found, values = x86.gelu(x), np.array(x.astype(mx.float32)).astype(np.float64)
    expected = [value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in values]
    assert found.dtype == dtype
    rounding = {mx.float32: 2e-6, mx.bfloat16: 2e-2}[dtype]
    np.testing.assert_allclose(np.array(found.astype(mx.float32)), expected, rtol=rounding, atol=rounding)


def test_a_loaded_model_computes_with_it(tmp_path):
    load(make_tiny_model(tmp_path), dtype="auto", context_limit=None)
    assert llama.swiglu is x86.swiglu
    assert activations.swiglu is not x86.swiglu
