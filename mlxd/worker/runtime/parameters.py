"""What all models have in common whose weights are read: how large they are, of which type, and how they come into memory."""

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten

from mlxd.worker.runtime.device import WIRED


def weight_bytes(model: nn.Module) -> int:
    """Returns the bytes of the weights, read or not."""
    return sum(value.nbytes for _, value in tree_flatten(model.parameters()))


def floating_type(model: nn.Module) -> mx.Dtype:
    """Returns the type of the first floating-point weight; float32 where there is none."""
    found = (value.dtype for _, value in tree_flatten(model.parameters()) if mx.issubdtype(value.dtype, mx.floating))
    return next(found, mx.float32)


def type_name(dtype: mx.Dtype) -> str:
    """Returns the name by which a type is told, such as "bfloat16"."""
    return str(dtype).removeprefix("mlx.core.")


def read_parameters(model: nn.Module) -> None:
    """Reads the weights into memory; what MLX used for that is given back."""
    mx.eval(model.parameters())
    mx.clear_cache()
    WIRED.restore()
