"""What MLX's CPU backend is slow at on x86, computed by what it is fast at.

It has no vector code for exponentials there: 11.6 ns each, in a softmax and a sigmoid too, where a power of a constant takes 4.3 ns and a
product 0.2 ns. On a prompt that is a third of all the time. Other processors, and GPUs, have fast exponentials, and nothing here applies.
"""

import importlib
import math
import platform

import mlx.core as mx
from mlx import nn
from mlx_lm.models import activations

_IS_X86 = platform.machine() in {"x86_64", "AMD64"}
_NAME = "swiglu"
_original = getattr(activations, _NAME)


def has_slow_exponentials() -> bool:
    """On the device that is used now."""
    return _IS_X86 and mx.default_device().type == mx.DeviceType.cpu


def exp(values: mx.array) -> mx.array:
    """``e ** values``, the fast way of this machine."""
    return mx.power(math.e, values) if has_slow_exponentials() else mx.exp(values)


def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """``silu(gate) * x``. An exponential that overflows makes it 0, as it should be; half precision has less room for that."""
    if gate.dtype != mx.float32 or not has_slow_exponentials():
        result: mx.array = _original(gate, x)
        return result
    return gate * x / (1 + exp(-gate))


def install_activations(model: nn.Module) -> None:
    """Replace ``swiglu`` in the modules the model is made of. Idempotent, and right on every device."""
    for name in {type(module).__module__ for module in model.modules()}:
        module = importlib.import_module(name)
        if getattr(module, _NAME, None) is _original:
            setattr(module, _NAME, swiglu)
