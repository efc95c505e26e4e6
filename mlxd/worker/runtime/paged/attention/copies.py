"""What the rows of a batch see, as one array of keys and one of values: for models whose attention computes with these itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import mlx.core as mx
import numpy as np

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.runtime.paged.key_value_store import KeyValueStore
from mlxd.worker.runtime.paged.slots import Geometry, Slots, after, slots_of


@dataclass(frozen=True)
class Copies:
    """What each row of the batch sees: a sequence's newest ``count`` tokens, and what is before them, in ``contexts``. They come in the
    order of their tokens, padded to the longest.
    """

    contexts: tuple[tuple[Slots, ...], ...]
    count: int

    @classmethod
    def of(cls, chunks: Sequence[Chunk], geometry: Geometry, window: int | None) -> Self:
        """Returns what rows see of which each is a chunk; with ``window`` a token sees only so many of the last."""
        contexts = [_seen(chunk, geometry, window) for chunk in chunks]
        return cls(tuple(contexts), chunks[0].count)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Returns how many tokens each row's context has."""
        return tuple(sum(map(len, context)) for context in self.contexts)

    def of_store(self, store: KeyValueStore) -> tuple[mx.array, mx.array]:
        """Returns keys and values ``[B, kv_heads, L, dim]``; of one row in one run they are views."""
        flat = store.floats([slots for context in self.contexts for slots in context])
        if len(self.contexts) == 1:
            return flat
        keys, values = (self._by_row(vectors) for vectors in flat)
        return keys, values

    def mask(self, window: int | None) -> mx.array | None:
        """Returns what each row's newest token sees of ``L`` slots, ``[B, L]``; None where each sees all of them."""
        longest = max(self.lengths)
        if min(self.lengths) == longest and (window is None or longest <= window):
            return None
        at, stop = mx.arange(longest), mx.array(self.lengths)[:, None]
        return at < stop if window is None else (at < stop) & (at >= stop - window)

    @cached_property
    def _tables(self) -> dict[tuple[int, int], mx.array]:
        """Returns what ``_table`` has made."""
        return {}

    @cached_property
    def _index(self) -> mx.array:
        """Returns where the slots of each row are among those of all, ``[B, L]``: behind a row's last, its first again."""
        stops = np.cumsum(self.lengths)
        at = np.arange(max(self.lengths))
        own = [start + np.where(at < length, at, 0) for start, length in zip(stops - self.lengths, self.lengths, strict=True)]
        return mx.array(np.stack(own))

    def _by_row(self, flat: mx.array) -> mx.array:
        """Turns ``[1, kv_heads, slots, dim]`` into ``[B, kv_heads, L, dim]``, by one index into a table of vectors."""
        _, heads, slots, dim = flat.shape
        if not dim:
            return mx.zeros((len(self.contexts), heads, max(self.lengths), 0), flat.dtype)
        return mx.flatten(flat, 0, 2)[self._table(heads, slots)]

    def _table(self, heads: int, slots: int) -> mx.array:
        """Returns where rows find what they see in a table of all heads' slots, ``[B, heads, L]``: once for all layers that are alike."""
        if (heads, slots) not in self._tables:
            self._tables[heads, slots] = self._index[:, None] + (mx.arange(heads) * slots)[:, None]
        return self._tables[heads, slots]


def passed(chunk: Chunk, window: int | None) -> int:
    """Returns how many of its sequence's first tokens no token of a chunk sees; with ``window`` each sees only so many of the last."""
    return 0 if window is None else max(0, chunk.start + 1 - window)


def _seen(chunk: Chunk, geometry: Geometry, window: int | None) -> tuple[Slots, ...]:
    return after(slots_of(chunk.runs, chunk.start + chunk.count, geometry), passed(chunk, window))
