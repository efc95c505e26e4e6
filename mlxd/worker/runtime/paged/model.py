"""An mlx-lm model that computes a step's rows, whoever they belong to, over paged keys and values."""

from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import KVCache, RotatingKVCache, make_prompt_cache

from mlxd.errors import MlxdError
from mlxd.worker.engine.plan import StepPlan
from mlxd.worker.runtime.paged.attention import Attention
from mlxd.worker.runtime.paged.attention_plan import plan_attention
from mlxd.worker.runtime.paged.install import install_attention, install_row_selection
from mlxd.worker.runtime.paged.layer_cache import PagedLayerCache, Step


class NotPageableError(MlxdError):
    """The model keeps something else than keys and values, or is put together in a way the paged runner does not know."""

    code = "not_pageable"


class PagedModel:
    """``block_size`` tokens per block, ``arena_blocks`` blocks per arena; see ``worker.kv``."""

    def __init__(self, model: Any, *, block_size: int, arena_blocks: int, fused: bool) -> None:
        self.block_size = block_size
        self.arena_blocks = arena_blocks
        self._model = model
        self._step = Step(Attention(fused=fused))
        self.layers = [self._layer(cache) for cache in make_prompt_cache(model)]
        install_attention(model)
        self._selection = install_row_selection(model)

    def forward(self, plan: StepPlan, tokens: mx.array) -> mx.array:
        """``tokens`` ``[T]`` to the logits of the sampled rows, ``[S, vocab]``, in the order of the chunks."""
        self._step.begin(plan_attention(plan, block_size=self.block_size, arena_blocks=self.arena_blocks))
        sampled, row = [], 0
        for chunk in plan.chunks:
            row += chunk.count
            if chunk.samples:
                sampled.append(row - 1)
        everything = len(sampled) == plan.rows
        rows = None if everything else mx.array(sampled or [0])
        if self._selection is not None:
            self._selection.rows = rows
        logits = self._model(tokens[:, None], cache=self.layers)[:, -1]
        if self._selection is None and rows is not None:
            logits = logits[rows]
        selected: mx.array = logits[: len(sampled)]
        return selected

    def tensors(self) -> list[mx.array]:
        """Of all layers and arenas."""
        return [tensor for layer in self.layers for tensor in layer.arenas.tensors()]

    def keep(self, arenas: frozenset[int]) -> None:
        """Give back the memory of arenas that exist no more."""
        for layer in self.layers:
            layer.arenas.keep(arenas)

    def _layer(self, cache: Any) -> PagedLayerCache:
        slots = self.block_size * self.arena_blocks
        if type(cache) is KVCache:
            return PagedLayerCache(self._step, slots, None)
        if type(cache) is RotatingKVCache and not cache.keep:
            return PagedLayerCache(self._step, slots, cache.max_size)
        raise NotPageableError(f"a layer of this model keeps a {type(cache).__name__}, which cannot be paged")
