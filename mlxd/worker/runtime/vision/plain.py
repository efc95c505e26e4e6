"""What mlx-vlm computes of a prompt with a picture, by its own way of putting them together: what the paged cache is proved by.

But for one thing: it has tokens of a picture see only what is before them, also in models that were trained otherwise. There its caches
say what each may see.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import KVCache, make_prompt_cache

from mlxd.worker.encoded_prompt import MediaSpan
from mlxd.worker.runtime.vision.seeing_model import SeeingModel

_STATE = {"rope_deltas", "attention_mask_4d"}  # what would be kept on the model, and a mask by which everything is seen


def plain_logits(model: SeeingModel, tokens: Sequence[int], media: Sequence[MediaSpan], tensors: Mapping[str, mx.array]) -> mx.array:
    """Returns the logits ``[n, vocab]`` after each of ``tokens``, of which ``media`` are placeholders of the picture in ``tensors``."""
    ids = mx.array(list(tokens))[None]
    mutual = [span for span in media if span.mutual]
    caches = [_MutualCache(mutual) for _ in model.layers] if mutual else make_prompt_cache(model)
    merged = model.model.get_input_embeddings(ids, mask=mx.ones_like(ids), **tensors).to_dict()
    given = {name: value for name, value in merged.items() if value is not None and name not in _STATE}
    logits: mx.array = model.language_model(ids, cache=caches, **given).logits[0]
    return logits


class _MutualCache(KVCache):  # type: ignore[misc]  # mlx-lm ships no types
    """A layer's cache for one call, whose mask lets tokens of the same one of ``spans`` see each other."""

    def __init__(self, spans: Sequence[MediaSpan]) -> None:
        super().__init__()
        self._spans = spans

    def make_mask(self, length: int, window_size: int | None = None, **_: Any) -> mx.array:
        """Returns what each of ``length`` tokens sees of all, ``[length, length]``."""
        of_picture = mx.zeros((length,), mx.int32)
        for number, span in enumerate(self._spans, start=1):
            of_picture[span.start : span.stop] = number
        query, key = mx.arange(length)[:, None], mx.arange(length)[None]
        seen = key <= query if window_size is None else (key <= query) & (key > query - window_size)
        same = (of_picture[:, None] == of_picture[None]) & (of_picture > 0)[None]
        return seen | same
