"""Layers of unmodified models that look at what adapters add to them.

A layer stays the module it is, with its weights and names; only its class is a subclass that adds, for as long as any adapter is loaded
that changes it: modules take methods from their class only.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchGLU, SwitchLinear, SwitchMLP

from mlxd.worker.runtime.adapters.layer_stack import ExpertStack, LinearStack
from mlxd.worker.runtime.adapters.present_slots import PresentSlots

LINEAR = (nn.Linear, nn.QuantizedLinear)
EXPERTS = (SwitchLinear, QuantizedSwitchLinear)
GIVERS = (SwitchGLU, SwitchMLP)  # what gives rows to layers of experts, sorted where they are many
_STACK, _PRESENT, _KIND = "_adapter_stack", "_adapter_slots", "_adapter_kind"


def adapt(layer: nn.Module, stack: LinearStack | ExpertStack, present: PresentSlots) -> None:
    """Lets a layer of one of these kinds add what its stack holds."""
    _become(layer, _adapted_linear if isinstance(stack, LinearStack) else _adapted_experts, {_STACK: stack, _PRESENT: present})


def tell_routes(giver: nn.Module, present: PresentSlots) -> None:
    """Lets one that gives rows to experts tell which."""
    if not hasattr(giver, _KIND):
        _become(giver, _telling, {_PRESENT: present})


def restore(module: nn.Module) -> None:
    """Leaves a module as it was."""
    if hasattr(module, _KIND):
        module.__class__ = getattr(module, _KIND)
        for name in (_STACK, _PRESENT, _KIND):
            module.__dict__.pop(name, None)


def weight_of(layer: nn.Module) -> mx.array:
    """Returns the weight ``[outputs, inputs]`` of a linear layer, float32."""
    weight: mx.array = layer.weight
    if isinstance(layer, nn.QuantizedLinear):
        how = {"group_size": layer.group_size, "bits": layer.bits, "mode": layer.mode}
        weight = mx.dequantize(weight, layer.scales, layer.get("biases"), **how)
    return weight.astype(mx.float32)


def _become(module: nn.Module, subclass: Callable[[type], type], known: dict[str, object]) -> None:
    kind = type(module)
    module.__class__ = subclass(kind)
    for name, value in (known | {_KIND: kind}).items():
        object.__setattr__(module, name, value)  # not a parameter


@cache
def _adapted_linear(kind: type) -> type:
    def call(self: Any, x: mx.array) -> mx.array:
        y: mx.array = kind.__call__(self, x)
        if not self._adapter_slots.is_used:
            return y
        stack: LinearStack = self._adapter_stack
        return stack.add(x, y, self.get("bias"))

    return type(f"Adapted{kind.__name__}", (kind,), {"__call__": call})


@cache
def _adapted_experts(kind: type) -> type:
    def call(self: Any, x: mx.array, indices: mx.array, sorted_indices: bool = False) -> mx.array:  # noqa: FBT001, FBT002 - mlx-lm's
        y: mx.array = kind.__call__(self, x, indices, sorted_indices=sorted_indices)
        if not self._adapter_slots.is_used:
            return y
        stack: ExpertStack = self._adapter_stack
        return stack.add(x, y, indices, are_sorted=sorted_indices)

    return type(f"Adapted{kind.__name__}", (kind,), {"__call__": call})


@cache
def _telling(kind: type) -> type:
    def call(self: Any, x: mx.array, indices: mx.array) -> mx.array:
        if self._adapter_slots.is_used:
            self._adapter_slots.route(indices)
        y: mx.array = kind.__call__(self, x, indices)
        return y

    return type(f"Telling{kind.__name__}", (kind,), {"__call__": call})
