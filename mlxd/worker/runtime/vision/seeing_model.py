"""A model of mlx-vlm with the interface of mlx-lm's: whatever serves these serves it."""

from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.cache import KVCache, RotatingKVCache

from mlxd.errors import MlxdError
from mlxd.worker.runtime.vision.architectures import Architecture
from mlxd.worker.runtime.vision.features import Shown


class UnknownCacheError(MlxdError):
    """A layer of the model keeps something that mlx-lm has no cache for."""

    code = "unknown_cache"


class SeeingModel(nn.Module):  # type: ignore[misc]  # mlx ships no types
    """Tokens ``[B, n]`` to logits ``[B, n, vocab]``, over mlx-lm's caches. It keeps nothing of one call for the next."""

    def __init__(self, model: nn.Module, architecture: Architecture) -> None:
        super().__init__()
        self.model = model
        self._architecture = architecture
        architecture.prepare(model)

    def __call__(self, tokens: mx.array, cache: Any = None, shown: Shown | None = None) -> mx.array:
        return self._architecture.logits(self.model, tokens, cache, shown)

    @property
    def architecture(self) -> Architecture:
        """Returns what is special about it."""
        return self._architecture

    @property
    def language_model(self) -> nn.Module:
        """Returns the part that is a model of text."""
        found: nn.Module = self.model.language_model
        return found

    @property
    def layers(self) -> list[nn.Module]:
        """Returns the layers of that part."""
        found: list[nn.Module] = self.model.layers
        return found

    def make_cache(self) -> list[Any]:
        """Returns a cache of mlx-lm's for each layer, as mlx-vlm's own would be. Raises ``UnknownCacheError`` where there is none."""
        make = getattr(self.language_model, "make_cache", None)
        return [KVCache() for _ in self.layers] if make is None else [_of_mlx_lm(cache) for cache in make()]


def _of_mlx_lm(cache: Any) -> Any:
    kind = type(cache).__name__
    if kind == "KVCache":
        return KVCache()
    if kind == "RotatingKVCache":
        return RotatingKVCache(max_size=cache.max_size, keep=cache.keep)
    raise UnknownCacheError(f"a layer of this model keeps a {kind} of mlx-vlm's, which mlx-lm does not have")
