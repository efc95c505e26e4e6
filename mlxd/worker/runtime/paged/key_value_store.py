"""What attention asks of the keys and values of a layer. However they are stored, it never sees them: only scores and mixed values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import mlx.core as mx

from mlxd.worker.runtime.paged.slots import Copy, Pick, Scatter, Slots, Span


class StoreKind(Protocol):
    """A way to store keys and values. Kinds that are equal make stores alike."""

    @property
    def name(self) -> str:
        """Returns what tells it from all other kinds, whatever they store: blocks of one are never read as those of another. It is empty
        where keys and values are stored as they are written.
        """

    def store(self, slots: int) -> "KeyValueStore":
        """Returns a store for one layer, with nothing in it, whose arenas have so many slots."""

    def written(self, key_dim: int, value_dim: int) -> tuple[int, int]:
        """Returns the widths of the two vectors that are written for a token of such a key and value: as they are, unless it says more."""
        return key_dim, value_dim


@dataclass(frozen=True)
class StoredVectors:
    """All vectors of an arena, as they lie in memory. ``elements`` ``[kv_heads, slots, width]`` are floats; or, with ``params``, levels of
    type uint8: an element is ``level * scale + bias`` of its group, and ``params`` ``[kv_heads, slots, 2 * groups]`` has a vector's scales,
    each times 128, then its biases.
    """

    elements: mx.array
    params: mx.array | None = None


class KeyValueStore(Protocol):
    """The keys and values of one layer, by slot. Slots given together are read as if they were one after the other.

    A store may keep them as they are written, quantized, or as one latent vector for both.
    """

    def write(self, writes: Sequence[Span | Scatter], keys: mx.array, values: mx.array) -> None:
        """Stores tokens of ``keys`` and ``values`` ``[B, kv_heads, n, head_dim]`` in place."""

    def scores(self, queries: mx.array, where: Sequence[Slots]) -> mx.array:
        """Returns the products of ``queries`` ``[1, kv_heads, N, head_dim]`` with the keys: ``[1, kv_heads, N, keys]``, float32."""

    def mix(self, weights: mx.array, where: Sequence[Slots]) -> mx.array:
        """Returns the values' sums by ``weights`` ``[1, kv_heads, N, keys]``: ``[1, kv_heads, N, value_dim]``, of type ``dtype``."""

    def fuses(self, rows: int) -> bool:
        """Tells whether ``fused`` is the way for so many rows of one sequence, where the device has a kernel."""

    def fused(
        self, queries: mx.array, where: Sequence[Slots], *, scale: float, mask: str | mx.array | None, sinks: mx.array | None
    ) -> mx.array:
        """Returns the attention of ``queries`` ``[1, heads, n, head_dim]`` over the slots by the device's own kernel: of the same shape,
        but for the values' dimension. ``mask`` and ``sinks`` are MLX's.
        """

    def floats(self, where: Sequence[Slots]) -> tuple[mx.array, mx.array]:
        """Returns what was written for the slots, ``[1, kv_heads, slots, ...]`` each, and in its type; views where they can be."""

    def take(self, pick: Pick) -> tuple[mx.array, mx.array]:
        """Returns copies of the keys and values of the picked slots, ``[B, kv_heads, L, head_dim]`` and ``[B, kv_heads, L, value_dim]``."""

    def arena(self, arena: int) -> tuple[StoredVectors, StoredVectors]:
        """Returns views of all keys and values of an arena, for kernels that find blocks in them."""

    def read(self, where: Slots) -> tuple[mx.array, ...]:
        """Returns views of whatever is stored for the slots, ``[1, kv_heads, len(where), ...]`` each."""

    def restore(self, where: Slots, parts: Sequence[mx.array]) -> None:
        """Writes what ``read`` has returned for as many slots, in place. An arena that is not there is made."""

    def copy(self, copy: Copy) -> None:
        """Copies in place, and takes the time and the memory of what is copied; waits for the device."""

    def holds(self, where: Slots) -> bool:
        """Tells whether anything was ever written to the slots' arena."""

    def lend(self, arenas: Sequence[int]) -> list[mx.array]:
        """Returns the tensors of ``arenas``, which the store does not hold until they are given back: whoever has them may write into them
        in place. Arenas that are not there are made; something must have been written before.
        """

    def give_back(self, arenas: Sequence[int], tensors: Iterator[mx.array]) -> None:
        """Takes back what was lent of ``arenas``, in the same order, from ``tensors``."""

    def keep(self, arenas: Mapping[int, int]) -> bool:
        """Makes arenas as large as it is told, in slots: each keeps its first ones, and those that are not named are gone. One that is not
        there yet is made when it is first written. Takes the time of copying what changes, the memory of one tensor of it, and waits for
        the device. Returns whether there was anything to do.
        """

    def tensors(self) -> list[mx.array]:
        """Returns all there are, to be evaluated with the step that changes them."""

    @property
    def kind(self) -> StoreKind:
        """Returns how it stores."""

    @property
    def kv_heads(self) -> int:
        """Returns the number of heads of what was written."""

    @property
    def dtype(self) -> mx.Dtype:
        """Returns the type of mixed values."""

    @property
    def count(self) -> int:
        """Returns how many arenas are allocated."""

    @property
    def nbytes(self) -> int:
        """Returns how many bytes are allocated."""

    @property
    def token_bytes(self) -> int:
        """Returns the bytes of one token; 0 before anything was written."""
