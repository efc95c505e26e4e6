"""Logits that are no numbers: from a damaged weight, or an overflow in float16. Any token sampled from them would be nonsense."""

from collections.abc import Sequence

import mlx.core as mx

from mlxd.errors import NotFiniteError

_MARK = -1  # no token has this id; a model that is fed with it embeds its last token, so the row can be computed once more


def is_finite(logits: mx.array) -> mx.array:
    """Tells of each row of ``logits`` ``[B, vocab]`` whether it can be sampled from, ``[B]``: nothing is NaN or plus infinity, and
    something is possible at all. Minus infinity only says that a token is impossible.

    It takes one reduction: on every backend of MLX a maximum is NaN where any of its operands is.
    """
    return mx.isfinite(mx.max(logits, axis=-1))


def all_finite(tensors: Sequence[mx.array]) -> bool:
    """Tells whether nothing in ``tensors``, of any shapes, is NaN or infinite; integers are not looked at. It waits for the device."""
    floating = [tensor for tensor in tensors if tensor.size and mx.issubdtype(tensor.dtype, mx.floating)]
    bounds = [bound(tensor).astype(mx.float32) for tensor in floating for bound in (mx.min, mx.max)]
    return not bounds or bool(mx.all(mx.isfinite(mx.stack(bounds))).item())


def not_finite() -> NotFiniteError:
    """Returns the error that ends a request whose logits are no numbers."""
    return NotFiniteError(
        "the model computed logits that are NaN or infinite for this request; a float16 model may overflow: set dtype to "
        '"bfloat16" or "float32"; otherwise its weights are damaged: fetch the model again'
    )


def mark(tokens: mx.array, logits: mx.array) -> mx.array:
    """Marks for ``checked`` those of ``tokens`` ``[B]`` whose rows of ``logits`` ``[B, vocab]`` are not finite. It is for mlx-lm, of whose
    steps only the tokens are read.
    """
    return mx.where(is_finite(logits), tokens.astype(mx.int32), _MARK)


def checked(token: int) -> int:
    """Returns the token, as mlx-lm hands it out. Raises ``NotFiniteError`` for one that ``mark`` has marked."""
    if token == _MARK:
        raise not_finite()
    return token
