"""What MLX's CPU backend is slow at on x86, computed by what it is fast at.

It has no vector code for exponentials there: 11.6 ns each, in a softmax and a sigmoid too, where a power of a constant takes 4.3 ns and a
product 0.2 ns. On a prompt that is a third of all the time. Other processors, and GPUs, have fast exponentials, and nothing here applies.
"""

import math
import platform
import sys

import mlx.core as mx
from mlx import nn
from mlx_lm.models import activations

from mlxd.worker.runtime.replace import replace_function

MANY = 4096  # scores: from here on fast exponentials save more than the operations cost that stand for one softmax

_ERF_IS_ONE = 4.0  # from here on, in float32
_ERF_ABOVE = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_ERF_BELOW = (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02)

_IS_X86 = platform.machine() in {"x86_64", "AMD64"}
_original = activations.swiglu


def has_slow_exponentials() -> bool:
    """Tells whether the device that is used now has slow exponentials."""
    return _IS_X86 and mx.default_device().type == mx.DeviceType.cpu


def exp(values: mx.array) -> mx.array:
    """Returns ``e ** values``, computed the fast way of this machine."""
    return mx.power(math.e, values) if has_slow_exponentials() else mx.exp(values)


def softmax(scores: mx.array) -> mx.array:
    """Returns the softmax over the last axis, computed the fast way of this machine."""
    if not has_slow_exponentials() or scores.size < MANY:
        return mx.softmax(scores, axis=-1)
    weights = exp(scores - mx.max(scores, axis=-1, keepdims=True))
    return weights / mx.sum(weights, axis=-1, keepdims=True)


def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """Returns ``silu(gate) * x``. An exponential that overflows makes it 0, as it should be; half precision has less room for that."""
    if gate.dtype != mx.float32 or not has_slow_exponentials():
        result: mx.array = _original(gate, x)
        return result
    return gate * x / (1 + exp(-gate))


def gelu(x: mx.array) -> mx.array:
    """Returns the GELU of ``x``: by a rational function instead of the error function where exponentials are slow, 4 ns instead of 53.

    It is that of Eigen (``Eigen/src/SpecialFunctions``), which is right to the last bits of float32.
    """
    if x.dtype != mx.float32 or not has_slow_exponentials():
        result: mx.array = nn.gelu(x)
        return result
    z = mx.clip(x * math.sqrt(0.5), -_ERF_IS_ONE, _ERF_IS_ONE)
    square = z * z
    return 0.5 * x * (1 + z * _polynomial(_ERF_ABOVE, square) / _polynomial(_ERF_BELOW, square))


def _polynomial(factors: tuple[float, ...], x: mx.array) -> mx.array:
    """Returns the sum of powers of ``x`` by Horner's rule; the highest comes first."""
    first, second, *others = factors
    found = x * first + second
    for factor in others:
        found = found * x + factor
    return found


def install_activations(model: nn.Module) -> None:
    """Replaces ``swiglu``, mlx-lm's or mlx-vlm's, in the model by the one above, which is right on every device."""
    replace_function(model, "swiglu", _original, swiglu)
    if (seeing := sys.modules.get("mlx_vlm.models.activations")) is not None:
        replace_function(model, "swiglu", seeing.swiglu, swiglu)
