"""Models that attend to a part of what they see only, which they select: to so few tokens that a short proof shows what they select."""

from collections.abc import Iterator
from contextlib import contextmanager

from mlx import nn

# What mlx-lm's modules call the sizes of a selection (DeepSeek V3.2, GLM 5, MiniMax M3), and how large they are in a proof.
_SIZES = {"index_topk": 16, "index_topk_blocks": 3, "index_block_size": 8}


@contextmanager
def narrowed(model: nn.Module) -> Iterator[None]:
    """Lets the model select so few tokens within."""
    found = [(module, name, size) for module in model.modules() for name in _SIZES if isinstance(size := getattr(module, name, None), int)]
    for module, name, size in found:
        setattr(module, name, min(size, _SIZES[name]))
    try:
        yield
    finally:
        for module, name, size in found:
            setattr(module, name, size)
