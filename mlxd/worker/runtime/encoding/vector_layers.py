"""What a pooled vector goes through: linear layers and norms, as modules of sentence-transformers."""

from collections.abc import Iterator, Sequence

import mlx.core as mx
from mlx import nn

from mlxd.worker.facts.encoding.layers import DenseLayer, Layer, NormLayer
from mlxd.worker.runtime.encoding.activations import activation_of_module


class _Dense(nn.Module):  # type: ignore[misc]  # mlx ships no types
    def __init__(self, layer: DenseLayer) -> None:
        super().__init__()
        self.linear = nn.Linear(layer.inputs, layer.outputs, bias=layer.bias)
        self._activation = activation_of_module(layer.activation)
        self._residual = layer.residual

    def __call__(self, vectors: mx.array) -> mx.array:
        found = self._activation(self.linear(vectors))
        return found + vectors if self._residual else found


class _Norm(nn.Module):  # type: ignore[misc]  # mlx ships no types
    def __init__(self, layer: NormLayer) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(layer.width)  # of the same epsilon as PyTorch's

    def __call__(self, vectors: mx.array) -> mx.array:
        found: mx.array = self.norm(vectors)
        return found


def make_layers(layers: Sequence[Layer]) -> list[nn.Module]:
    """Makes the layers without weights."""
    return [_Dense(layer) if isinstance(layer, DenseLayer) else _Norm(layer) for layer in layers]


def own_files(layers: Sequence[Layer]) -> Iterator[tuple[int, str]]:
    """Yields the number of each layer that has a file of its own, and its path."""
    for number, layer in enumerate(layers):
        if layer.weights is not None:
            yield number, str(layer.weights)


def normalized(vectors: mx.array) -> mx.array:
    """Returns the vectors at the length 1. One of nothing but zeros stays what it is."""
    lengths = mx.sqrt(mx.sum(mx.square(vectors), axis=-1, keepdims=True))
    return vectors / mx.maximum(lengths, 1e-12)
