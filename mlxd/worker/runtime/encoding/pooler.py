"""One vector of the vectors of a text's tokens, by every way that sentence-transformers has."""

import mlx.core as mx

from mlxd.worker.facts.encoding.pooling import Pooling, PoolingMode
from mlxd.worker.runtime.encoding.padded import PaddedBatch


def pool(hidden: mx.array, batch: PaddedBatch, pooling: Pooling) -> mx.array:
    """Returns a vector for each row, ``[rows, width * modes]`` in float32, of the vectors of tokens, ``[rows, length, width]``."""
    hidden = hidden.astype(mx.float32)
    pooled = [_pool(hidden, batch, mode, with_prompt=pooling.with_prompt) for mode in pooling.modes]
    return pooled[0] if len(pooled) == 1 else mx.concatenate(pooled, axis=-1)


def _pool(hidden: mx.array, batch: PaddedBatch, mode: PoolingMode, *, with_prompt: bool) -> mx.array:
    match mode:
        case PoolingMode.CLS:
            return hidden[:, 0] if with_prompt else _at(hidden, batch.prompts)
        case PoolingMode.LAST_TOKEN:
            return batch.of_last(hidden)
    counted = batch.real if with_prompt else batch.real & (mx.arange(batch.length)[None] >= batch.prompts[:, None])
    weights = counted.astype(mx.float32)[..., None]
    if mode is PoolingMode.MAX:
        return mx.where(counted[..., None], hidden, -mx.inf).max(axis=1)
    if mode is PoolingMode.WEIGHTED_MEAN:
        weights = weights * mx.arange(1, batch.length + 1, dtype=mx.float32)[None, :, None]
    total = mx.where(counted[..., None], hidden * weights, 0).sum(axis=1)  # what padding computes may be no number
    count = mx.maximum(weights.sum(axis=1), 1e-9)
    return total / (mx.sqrt(count) if mode is PoolingMode.MEAN_SQRT_LEN else count)


def _at(hidden: mx.array, places: mx.array) -> mx.array:
    return mx.take_along_axis(hidden, places[:, None, None], axis=1)[:, 0]
