"""Where latents live: one vector of a token for keys and values of all heads, and one for its position (DeepSeek-V2, Liu et al., 2024).

Models of mlx-lm that keep latents hand them to their cache in the place of keys and values. A key is the latent with the position's vector
behind it, a value is the latent alone: neither is ever stored twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.runtime.paged.attention.kernel.language import NoKernelError
from mlxd.worker.runtime.paged.key_value_store import StoredVectors, StoreKind
from mlxd.worker.runtime.paged.slot_store import SlotStore
from mlxd.worker.runtime.paged.slot_vectors import SlotVectors
from mlxd.worker.runtime.paged.slots import Pick, Scatter, Slots, Span


class Latents(SlotStore):
    """The plain store of latents and of positions' vectors. Queries have a part for each, one behind the other."""

    def __init__(self, latents: SlotVectors, positions: SlotVectors) -> None:
        self._latents = latents
        self._positions = positions

    @classmethod
    def of(cls, store: SlotStore) -> Self:
        """Returns the store of what was written to another one in the place of keys and values."""
        return cls(*store.parts)

    @property
    @override
    def parts(self) -> Sequence[SlotVectors]:
        return self._latents, self._positions

    @override
    def write(self, writes: Sequence[Span | Scatter], keys: mx.array, values: mx.array) -> None:
        """Stores latents, which come as keys, and the vectors of positions, which come as values."""
        self._latents.write(writes, keys)
        self._positions.write(writes, values)

    @override
    def scores(self, queries: mx.array, where: Sequence[Slots]) -> mx.array:
        """Widens the operands first, as the store of keys and values does."""
        latents, positions = (part.read(where).astype(mx.float32).swapaxes(-1, -2) for part in self.parts)
        of_latent, of_position = mx.split(queries.astype(mx.float32), [latents.shape[-2]], axis=-1)
        return of_latent @ latents + of_position @ positions

    @override
    def mix(self, weights: mx.array, where: Sequence[Slots]) -> mx.array:
        latents = self._latents.read(where)
        return weights.astype(latents.dtype) @ latents

    @override
    def fuses(self, rows: int) -> bool:
        """Returns False: no kernel of MLX takes heads of such a size, and keys would have to be put together for it."""
        return False

    @override
    def fused(
        self, queries: mx.array, where: Sequence[Slots], *, scale: float, mask: str | mx.array | None, sinks: mx.array | None
    ) -> mx.array:
        latents, positions = (part.read(where) for part in self.parts)
        keys = mx.concatenate([latents, positions], axis=-1)
        found: mx.array = mx.fast.scaled_dot_product_attention(queries, keys, latents, scale=scale, mask=mask, sinks=sinks)
        return found

    @override
    def floats(self, where: Sequence[Slots]) -> tuple[mx.array, mx.array]:
        """Returns latents and the vectors of positions, as the model handed them in."""
        return self._latents.read(where), self._positions.read(where)

    @override
    def take(self, pick: Pick) -> tuple[mx.array, mx.array]:
        latents = self._latents.take(pick)
        return mx.concatenate([latents, self._positions.take(pick)], axis=-1), latents

    @override
    def arena(self, arena: int) -> tuple[StoredVectors, StoredVectors]:
        raise NoKernelError("the model keeps latents, and the kernel reads keys and values")

    @property
    @override
    def kind(self) -> StoreKind:
        return Latent()

    @property
    @override
    def dtype(self) -> mx.Dtype:
        return self._latents.dtype


@dataclass(frozen=True)
class Latent(StoreKind):
    """Latents as they are written."""

    @property
    @override
    def name(self) -> str:
        return ""

    @override
    def store(self, slots: int) -> Latents:
        return Latents(SlotVectors(slots), SlotVectors(slots))

    @override
    def written(self, key_dim: int, value_dim: int) -> tuple[int, int]:
        return value_dim, key_dim - value_dim
