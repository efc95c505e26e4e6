"""What an mlx-lm model takes for a layer's cache whose attention computes with keys and values itself."""

import mlx.core as mx
from mlx_lm.models.base import create_causal_mask
from typing_extensions import override

from mlxd.worker.runtime.paged.arenas import Arenas, KeyArenas, KeysAlone, Plain
from mlxd.worker.runtime.paged.attention.copies import Copies, passed
from mlxd.worker.runtime.paged.layer_cache import PagedLayerCache, Step
from mlxd.worker.runtime.paged.manner import Manner


class CopiedLayerCache(PagedLayerCache):
    """A layer's cache that gives what rows see as mlx-lm's own caches do, in a ``manner`` of copies. ``keys`` and ``values`` are what the
    present call was given: they must be let go behind it, for views keep MLX from writing in place.
    """

    def __init__(self, step: Step, slots: int, window: int | None, manner: Manner) -> None:
        super().__init__(step, slots, window)
        self._manner = manner
        self.keys: mx.array | None = None
        self.values: mx.array | None = None

    @property
    @override
    def offset(self) -> mx.array | int:
        """Returns the offset of each row, ``[B]``; of one that is alone, as the number that mlx-lm's caches have."""
        return self._step.plan.chunks[0].start if self._manner is Manner.ALONE else super().offset

    @property
    def start_position(self) -> int:
        """Returns where the first token is that the only row is given."""
        return passed(self._step.plan.chunks[0], self.window)

    def maybe_trim_front(self) -> None:
        """Does nothing: what a window has passed is not given."""

    @override
    def make_mask(self, length: int, window_size: int | None = None, return_array: bool = False) -> object:
        if not self._manner.copies(length):
            return super().make_mask(length, window_size, return_array)
        window, copies = self._narrower(window_size), self._copies
        if length == 1:
            mask = copies.mask(window)
            return mask if mask is None or len(copies.contexts) == 1 else mask[self._axes]
        (longest,) = copies.lengths
        if return_array or (window is not None and longest > window):
            found: mx.array = create_causal_mask(length, longest - length, window_size=window)
            return found
        return "causal"

    @override
    def keys_and_values(self) -> tuple[object, object]:
        return super().keys_and_values() if self.keys is None else (self.keys, self.values)

    @override
    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[object, object]:
        """Writes ``[B, kv_heads, n, head_dim]``, and returns all that the rows see."""
        if values is keys or not values.shape[-1]:
            self._keep_keys()
        written = super().update_and_fetch(keys, values)
        if not self._manner.copies(keys.shape[2]):
            return written
        self.keys, self.values = self._copies.of_store(self.store)
        return self.keys, self.values

    @override
    def release(self) -> None:
        self.keys = self.values = None

    def _keep_keys(self) -> None:
        """Lets a store be one of keys alone, where the values are the same, or nothing."""
        if self.kind == Plain() and isinstance(self.store, Arenas):
            self.kind, self.store = KeysAlone(), KeyArenas.of(self.store)

    @property
    def _copies(self) -> Copies:
        return self._step.plan_of(self.group).copies(self.window)

    @property
    def _axes(self) -> tuple[slice | None, ...]:
        """Returns what turns a mask ``[B, L]`` into one for scores."""
        heads = (None, None, None) if self._manner is Manner.COPIED_BY_GROUP else (None, None)
        return (slice(None), *heads)
