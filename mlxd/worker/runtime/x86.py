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


def install_activations(model: nn.Module) -> None:
    """Replaces ``swiglu``, mlx-lm's or mlx-vlm's, in the model by the one above, which is right on every device."""
    replace_function(model, "swiglu", _original, swiglu)
    if (seeing := sys.modules.get("mlx_vlm.models.activations")) is not None:
        replace_function(model, "swiglu", seeing.swiglu, swiglu)
