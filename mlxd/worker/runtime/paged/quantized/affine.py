"""Vectors as levels of 8 bits, by MLX's affine quantization: an element is ``level * scale + bias`` of its group.

Levels are kept as MLX packs them, four in an integer, ``[..., width / 4]``. A vector's ``params`` ``[..., 2 * groups]`` are its scales, 128
times as large as they are, then its biases, in float16. Its precision costs next to nothing beside that of levels, where bfloat16 would
make the error half as large again; and what is 128 times a scale is a normal number wherever it matters, and one for all that float16 can
hold. Elements beyond that, 65,504, become infinite, which is found out when something is computed with them.
"""

import mlx.core as mx

BITS = 8
_LARGER = 128


def quantized(vectors: mx.array, group: int) -> tuple[mx.array, mx.array]:
    """Returns levels and params of ``vectors`` ``[..., width]``, of which each ``group`` neighbours have a scale and a bias.

    A vector with an element that is no number has params that are none: MLX's least and largest elements pass over it.
    """
    wide = vectors.astype(mx.float32)
    levels, scales, biases = mx.quantize(wide, group_size=group, bits=BITS)
    zero = mx.sum(wide, axis=-1, keepdims=True) * 0
    return levels, (mx.concatenate([scales * _LARGER, biases], axis=-1) + zero).astype(mx.float16)


def scales_and_biases(params: mx.array, axis: int = -1) -> tuple[mx.array, mx.array]:
    """Returns both apart along ``axis``, ``[..., groups]``, float32, as they are."""
    scales, biases = mx.split(params.astype(mx.float32), 2, axis=axis)
    return scales * (1 / _LARGER), biases
