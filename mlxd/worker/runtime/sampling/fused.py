"""Functions that a GPU computes in fewer kernels than they have operations."""

from collections.abc import Callable
from typing import Any, TypeVar

import mlx.core as mx

F = TypeVar("F", bound=Callable[..., Any])


def fused(function: F) -> F:
    """Returns a function of arrays as one that MLX compiles where the device is a GPU, once for each kind of shapes: what is elementwise in
    it becomes a kernel or two, and Python builds its graph once. A CPU computes it as it is written: MLX would call a C++ compiler for it,
    for half a minute.
    """
    compiled: Callable[..., Any] = mx.compile(function)

    def call(*arrays: Any) -> Any:
        return compiled(*arrays) if mx.default_device().type == mx.DeviceType.gpu else function(*arrays)

    return call  # type: ignore[return-value]  # the same arguments and results
