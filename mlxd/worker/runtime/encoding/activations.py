"""Activations by the names that configurations of transformers, and modules of sentence-transformers, have for them."""

from collections.abc import Callable

import mlx.core as mx
from mlx import nn

from mlxd.worker.facts.encoding.layers import Activation
from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.runtime.x86 import gelu

Function = Callable[[mx.array], mx.array]


def _identity(values: mx.array) -> mx.array:
    return values


_BY_NAME: dict[str, Function] = {
    "gelu": gelu,
    "gelu_new": nn.gelu_approx,
    "gelu_fast": nn.gelu_approx,
    "gelu_pytorch_tanh": nn.gelu_approx,
    "relu": nn.relu,
    "silu": nn.silu,
    "swish": nn.silu,
    "tanh": mx.tanh,
}
_OF_MODULES: dict[Activation, Function] = {
    Activation.NONE: _identity,
    Activation.TANH: mx.tanh,
    Activation.RELU: nn.relu,
    Activation.GELU: gelu,
    Activation.SILU: nn.silu,
    Activation.SIGMOID: mx.sigmoid,
}


def activation(config: JsonDocument, key: str, default: str = "gelu") -> Function:
    """Returns the activation that the configuration names under ``key``. Raises ``ModelSourceError`` for one that is not known."""
    name = config.text(key) or default
    if name not in _BY_NAME:
        raise config.wrong(key, f"one of {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def activation_of_module(kind: Activation) -> Function:
    """Returns the activation behind a Dense module."""
    return _OF_MODULES[kind]
