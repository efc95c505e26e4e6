"""What an mlx-lm model takes for a layer's cache."""

from dataclasses import dataclass
from typing import Any, Self

import mlx.core as mx

from mlxd.errors import MlxdError
from mlxd.worker.runtime.paged.arenas import Arenas, Plain
from mlxd.worker.runtime.paged.attention.attention import Attention, Layer
from mlxd.worker.runtime.paged.attention.plan import AttentionPlan
from mlxd.worker.runtime.paged.attention.ways import Ways
from mlxd.worker.runtime.paged.key_value_store import KeyValueStore, StoreKind
from mlxd.worker.runtime.paged.latents import Latent, Latents

NOT_IN_PLACE = "its attention computes with keys and values itself, where a paged cache only lets them be read in place"


class NotPageableError(MlxdError):
    """The model keeps something else than keys, values and states, or is put together in a way the paged runner does not know."""

    code = "not_pageable"


@dataclass(frozen=True)
class Window:
    """Stands for a mask on its way through the model: this layer sees only the last ``size`` tokens."""

    size: int


class Step:
    """The plans of the present step, one of each group of layers, shared by its layers."""

    def __init__(self, ways: Ways) -> None:
        self.ways = ways
        self._plans: tuple[AttentionPlan, ...] = ()
        self._begun: dict[tuple[int, int | None], tuple[AttentionPlan, Attention]] = {}

    def begin(self, *plans: AttentionPlan) -> None:
        """Takes the plans of the step, before the model is called; the first is that of layers that see everything."""
        self._plans = plans
        self._begun = {}

    @property
    def plan(self) -> AttentionPlan:
        """Returns the plan of this step for layers that see everything. Raises ``RuntimeError`` before the first step."""
        return self.plan_of(0)

    def plan_of(self, group: int) -> AttentionPlan:
        """Returns the plan of this step for a group of layers. Raises ``RuntimeError`` before the first step."""
        if not self._plans:
            raise RuntimeError("no step has begun")
        return self._plans[group]

    def is_at(self, offset: object) -> bool:
        """Tells whether an offset is that of this step's rows, the very array."""
        return bool(self._plans) and any(axis is offset for axis in self._plans[0].positions.axes)

    def attend(self, queries: mx.array, layer: Layer) -> mx.array:
        """Attends with ``queries`` ``[T, heads, head_dim]``, by a plan and a way that are the same for all layers of a group with the same
        window.
        """
        key = layer.group, layer.window
        if key not in self._begun:
            plan = self.plan_of(layer.group)
            plan = plan if layer.window is None else plan.windowed(layer.window)
            self._begun[key] = plan, self.ways.of(plan)
        plan, attention = self._begun[key]
        return attention(queries, layer, plan)


class PagedLayerCache:
    """A layer's cache that takes a batch ``[B, n]`` whose tokens, row by row, are the ``T`` of the plan: either every token is a row, or
    one sequence's chunk is the only row. ``window`` is this layer's own, None where it has none; ``kind`` is how it stores keys and
    values, from when it is emptied next.
    """

    def __init__(self, step: Step, slots: int, window: int | None) -> None:
        self._step = step
        self.window = window
        self.kind: StoreKind = Plain()
        self._dtype: mx.Dtype = mx.float32  # of what was written last
        self._width = 0  # of the second vector of a token that was written last
        self._is_asked_by_position = False  # since then
        self.empty(slots)

    def empty(self, slots: int, group: int = 0) -> None:
        """Gives the layer a store with nothing in it, whose arenas have so many slots, and whose blocks are those of a group of layers."""
        self.group = group
        self.store: KeyValueStore = self.kind.store(slots)

    @property
    def offset(self) -> mx.array | int:
        """Returns the RoPE offset of each row, ``[B]``."""
        return self._step.plan.positions.offset

    def make_mask(self, _: int, window_size: int | None = None, return_array: bool = False) -> object:  # noqa: ARG002, FBT001, FBT002 - mlx-lm's signature
        """Returns the window alone, for attention looks at the plan, not at a mask: the narrower one, if the model asks for another than
        its cache would keep. None means that there is no window.
        """
        window = self._narrower(window_size)
        return None if window is None else Window(window)

    def keys_and_values(self) -> tuple[object, object]:
        """Returns what a layer attends to that has no keys and values of its own: what this one has written."""
        return Written(self, self._dtype), WrittenValues(self, self._dtype)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[object, object]:
        """Writes ``[B, kv_heads, n, head_dim]``. What comes back may only be handed on to attention, by this layer or another."""
        self._dtype, self._width, self._is_asked_by_position = values.dtype, values.shape[-1], False
        self.store.write(self._step.plan_of(self.group).writes, keys, values)
        return self.keys_and_values()

    def release(self) -> None:
        """Lets go of whatever the call of the model was given."""

    def positions(self) -> mx.array:
        """Returns what stands for the vectors of positions where a model multiplies with them: one, ``[width, width]``, so that its product
        is its queries' part for positions. It comes back to ``attend`` as scores that others are added to.
        """
        self._is_asked_by_position = True
        return mx.eye(self._width, dtype=self._dtype)

    def attend(self, queries: mx.array, scale: float, mask: object, sinks: mx.array | None) -> mx.array:
        """Attends with ``queries`` ``[B, heads, n, head_dim]``, and returns that shape but for the values' dimension."""
        window = mask.size if isinstance(mask, Window) else self.window
        if self._is_asked_by_position and isinstance(mask, mx.array):
            self._keep_latents()
            queries = mx.concatenate([queries, mask.astype(queries.dtype) * (1 / scale)], axis=-1)
        batch, heads, length, dim = queries.shape
        layer = Layer(self.store, scale, window, sinks, self.group)
        if length == 1:
            return self._step.attend(queries.reshape(batch, heads, dim), layer)[:, :, None]
        output = self._step.attend(queries.swapaxes(1, 2).reshape(batch * length, heads, dim), layer)
        return output.reshape(batch, length, heads, -1).swapaxes(1, 2)

    def _narrower(self, window: int | None) -> int | None:
        """Returns the narrower of a window that the model asks for and its own; None where there is neither."""
        return min((size for size in (window, self.window) if size), default=None)

    def _keep_latents(self) -> None:
        """Lets a store be one of latents, once it shows that the layer keeps these. One of keys alone has no vectors of positions."""
        if self.kind == Plain() and isinstance(self.store, Arenas):
            self.kind, self.store = Latent(), Latents.of(self.store)


@dataclass(frozen=True)
class Written:
    """Stands for the keys or values of a layer on their way to attention, which reads them from the layer's store. So layers that
    attend to another layer's keys and values find them too.
    """

    cache: PagedLayerCache
    dtype: mx.Dtype

    def astype(self, _: mx.Dtype) -> Self:
        """Returns itself: some models cast keys before attention, and scores are float32 anyway."""
        return self

    def __getattr__(self, name: str) -> Any:
        raise NotPageableError(NOT_IN_PLACE)


class WrittenValues(Written):
    """Stands for a layer's values; or, in a model that keeps latents, for the vectors of positions, which it multiplies with."""

    def swapaxes(self, _: int, __: int) -> mx.array:
        """Returns what makes queries of the product with it."""
        return self.cache.positions()
