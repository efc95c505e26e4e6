"""Where keys and values live: per layer, one pair of tensors for each arena of blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx


@dataclass(frozen=True)
class Slots:
    """Consecutive slots ``[start, stop)`` of one arena: one slice of its tensors, without a copy."""

    arena: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def part(self, start: int, stop: int) -> "Slots":
        """Slots ``start`` to ``stop`` of these."""
        return Slots(self.arena, self.start + start, self.start + stop)


@dataclass(frozen=True)
class Geometry:
    """``block_size`` tokens per block, ``arena_blocks`` blocks per arena; see ``worker.kv``."""

    block_size: int
    arena_blocks: int

    @property
    def arena_slots(self) -> int:
        """Tokens of one arena."""
        return self.block_size * self.arena_blocks

    def slots(self, block: int) -> Slots:
        """Of one block."""
        first = block % self.arena_blocks * self.block_size
        return Slots(block // self.arena_blocks, first, first + self.block_size)


def slots_of(runs: Sequence[range], tokens: int, geometry: Geometry) -> list[Slots]:
    """The slots of the first ``tokens`` tokens of a sequence whose blocks are ``runs``."""
    found = []
    for run in runs:
        if tokens <= 0:
            break
        first = run.start % geometry.arena_blocks * geometry.block_size
        size = min(tokens, len(run) * geometry.block_size)
        found.append(Slots(run.start // geometry.arena_blocks, first, first + size))
        tokens -= size
    return found


class Arenas:
    """The tensors of one layer: ``[kv_heads, slots, head_dim]`` for each arena, made when it is first written."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._keys: dict[int, mx.array] = {}
        self._values: dict[int, mx.array] = {}

    def write(self, arena: int, slots: mx.array, keys: mx.array, values: mx.array) -> None:
        """``keys`` and ``values`` ``[kv_heads, n, head_dim]`` to ``slots`` ``[n]``, in place: MLX donates the buffer while
        nothing else holds it, so no reference to these tensors or their slices may outlive a step.
        """
        if arena not in self._keys:
            self._keys[arena] = mx.zeros((keys.shape[0], self._slots, keys.shape[2]), keys.dtype)
            self._values[arena] = mx.zeros((values.shape[0], self._slots, values.shape[2]), values.dtype)
        self._keys[arena][:, slots] = keys
        self._values[arena][:, slots] = values

    def read(self, where: Slots) -> tuple[mx.array, mx.array]:
        """Views ``[kv_heads, len(where), head_dim]``."""
        part = slice(where.start, where.stop)
        return self._keys[where.arena][:, part], self._values[where.arena][:, part]

    def copy(self, source: Slots, target: Slots) -> None:
        """What ``source`` holds to ``target``, of equal length."""
        keys, values = self.read(source)
        slots = mx.arange(target.start, target.stop)
        self.write(target.arena, slots, keys, values)

    def keep(self, arenas: frozenset[int]) -> None:
        """Give back the memory of arenas that exist no more."""
        for gone in self._keys.keys() - arenas:
            del self._keys[gone], self._values[gone]

    def tensors(self) -> list[mx.array]:
        """All of them, to be evaluated."""
        return [*self._keys.values(), *self._values.values()]

    @property
    def kv_heads(self) -> int:
        """Of what was written."""
        return next(iter(self._keys.values())).shape[0]

    @property
    def count(self) -> int:
        """Arenas that are allocated."""
        return len(self._keys)

    @property
    def nbytes(self) -> int:
        """Allocated."""
        return sum(tensor.nbytes for tensor in self.tensors())
