"""What is computed with quantized vectors, by device: levels ``[..., keys, width / 4]`` and params ``[..., keys, 2 * groups]``."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.runtime.paged.quantized.affine import BITS, scales_and_biases

FEW = 32  # queries that share a KV head: those of rows that decode
_FEWEST = 8


@dataclass(frozen=True)
class Products(ABC):
    """The way a device computes with vectors of which ``group`` neighbouring elements share a scale and a bias."""

    group: int

    @abstractmethod
    def products(self, queries: mx.array, levels: mx.array, params: mx.array) -> mx.array:
        """Returns the products of ``queries`` ``[1, kv_heads, N, width]`` with the vectors: ``[1, kv_heads, N, keys]``; float32."""

    @abstractmethod
    def sums(self, weights: mx.array, levels: mx.array, params: mx.array) -> mx.array:
        """Returns the vectors' sums by ``weights`` ``[1, kv_heads, N, keys]``: ``[1, kv_heads, N, width]``; float32."""

    @abstractmethod
    def floats(self, levels: mx.array, params: mx.array, dtype: mx.Dtype) -> mx.array:
        """Returns the vectors themselves, ``[..., keys, width]``."""

    def _matmul(self, factors: mx.array, levels: mx.array, params: mx.array, *, transpose: bool) -> mx.array:
        """Returns the product by MLX's kernel for quantized weights."""
        scales, biases = scales_and_biases(params)
        return mx.quantized_matmul(factors, levels, scales, biases, transpose=transpose, group_size=self.group, bits=BITS)


@dataclass(frozen=True)
class CpuProducts(Products):
    """On a CPU products of floats that are made of levels, a piece at a time, are faster than those by MLX's kernel for quantized weights,
    but for sums by few weights. Where a vector is one group, its scale and bias need not meet its elements, but only their products.
    """

    @override
    def products(self, queries: mx.array, levels: mx.array, params: mx.array) -> mx.array:
        if params.shape[-1] > 2 or queries.shape[2] > FEW:
            return queries @ self.floats(levels, params, mx.float32).swapaxes(-1, -2)
        scales, biases = scales_and_biases(params.swapaxes(-1, -2), axis=-2)
        raw = queries @ _unpacked(levels).swapaxes(-1, -2)
        return raw * scales + mx.sum(queries, axis=-1, keepdims=True) * biases

    @override
    def sums(self, weights: mx.array, levels: mx.array, params: mx.array) -> mx.array:
        if weights.shape[2] <= _FEWEST:
            return self._matmul(weights, levels, params, transpose=False)
        return weights @ self.floats(levels, params, mx.float32)

    @override
    def floats(self, levels: mx.array, params: mx.array, dtype: mx.Dtype) -> mx.array:
        scales, biases = scales_and_biases(params[..., None], axis=-2)
        return (mx.unflatten(_unpacked(levels), -1, (-1, self.group)) * scales + biases).flatten(-2).astype(dtype)


@dataclass(frozen=True)
class GpuProducts(Products):
    """MLX's kernels for quantized weights read a quarter of the bytes; for the many queries of prompts, floats are made first."""

    @override
    def products(self, queries: mx.array, levels: mx.array, params: mx.array) -> mx.array:
        if queries.shape[2] <= FEW:
            return self._matmul(queries, levels, params, transpose=True)
        return queries @ self.floats(levels, params, mx.float32).swapaxes(-1, -2)

    @override
    def sums(self, weights: mx.array, levels: mx.array, params: mx.array) -> mx.array:
        if weights.shape[2] <= FEW:
            return self._matmul(weights, levels, params, transpose=False)
        return weights @ self.floats(levels, params, mx.float32)

    @override
    def floats(self, levels: mx.array, params: mx.array, dtype: mx.Dtype) -> mx.array:
        scales, biases = scales_and_biases(params)  # whose type is that of the arithmetic
        return mx.dequantize(levels, scales, biases, group_size=self.group, bits=BITS).astype(dtype)


def products_of(device: str, group: int) -> Products:
    """Returns what "cpu" or "gpu" computes with."""
    return CpuProducts(group) if device == "cpu" else GpuProducts(group)


def _unpacked(levels: mx.array) -> mx.array:
    return levels.view(mx.uint8).astype(mx.float32)
