"""Where keys and values live: per layer, one pair of tensors for each arena of blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx

from mlxd.worker.kv.block_table import Run


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


def slots_of(runs: Sequence[Run], tokens: int, geometry: Geometry) -> list[Slots]:
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


@dataclass(frozen=True)
class Span:
    """Rows ``[first, first + count)`` of a call go to consecutive slots of one arena, from ``start`` on."""

    arena: int
    start: int
    first: int
    count: int


class Scatter:
    """``rows`` of a call's batch, one token each, go to ``slots`` of one arena. Without ``rows`` the first ones of the batch do."""

    def __init__(self, arena: int, slots: list[int], rows: list[int] | None = None) -> None:
        self.arena = arena
        self.count = len(slots)
        self._slots = mx.array(slots)
        self._rows = None if rows is None else mx.array(rows)
        self._index: dict[tuple[int, int], mx.array] = {}

    def taken(self, batch: mx.array) -> mx.array:
        """Of ``[B, kv_heads, 1, head_dim]``: the vectors of its rows' heads, ``[count * kv_heads, head_dim]``."""
        if self._rows is not None:
            batch = batch[self._rows]
        elif self.count != batch.shape[0]:
            batch = batch[: self.count]
        return batch.reshape(-1, batch.shape[-1])

    def index(self, kv_heads: int, arena_slots: int) -> mx.array:
        """Where these vectors go in a table of all heads' slots. Made once for all layers that are alike."""
        if (kv_heads, arena_slots) not in self._index:
            found = self._slots[:, None] + mx.arange(kv_heads) * arena_slots
            self._index[kv_heads, arena_slots] = found.reshape(-1)
        return self._index[kv_heads, arena_slots]


class Arenas:
    """The tensors of one layer: ``[1, kv_heads, slots, head_dim]`` for each arena, made when it is first written. The leading axis
    is the batch that attention expects.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._keys: dict[int, mx.array] = {}
        self._values: dict[int, mx.array] = {}

    def write(self, writes: Sequence[Span | Scatter], keys: mx.array, values: mx.array) -> None:
        """Tokens of ``keys`` and ``values`` ``[B, kv_heads, n, head_dim]``, in place: MLX donates the buffer while nothing else holds
        it, so no reference to these tensors or their slices may outlive a step.
        """
        for tensors, batch in ((self._keys, keys), (self._values, values)):
            flat = None
            for where in writes:
                if where.arena not in tensors:
                    tensors[where.arena] = mx.zeros((1, batch.shape[1], self._slots, batch.shape[3]), batch.dtype)
                if isinstance(where, Scatter):
                    tensors[where.arena] = _scattered(where, batch, tensors.pop(where.arena))
                else:
                    flat = _flat(batch) if flat is None else flat
                    whole = where.count == flat.shape[2]
                    tensors[where.arena][:, :, where.start : where.start + where.count] = (
                        flat if whole else flat[:, :, where.first : where.first + where.count]
                    )

    def read(self, where: Slots) -> tuple[mx.array, mx.array]:
        """Views ``[1, kv_heads, len(where), head_dim]``."""
        part = slice(where.start, where.stop)
        return self._keys[where.arena][:, :, part], self._values[where.arena][:, :, part]

    def holds(self, where: Slots) -> bool:
        """Whether anything was ever written to the arena of ``where``."""
        return where.arena in self._keys

    def copy(self, source: Slots, target: Slots) -> None:
        """What ``source`` holds to ``target``, of equal length."""
        self.write([Span(target.arena, target.start, 0, len(target))], *self.read(source))

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
        return next(iter(self._keys.values())).shape[1]

    @property
    def count(self) -> int:
        """Arenas that are allocated."""
        return len(self._keys)

    @property
    def nbytes(self) -> int:
        """Allocated."""
        return sum(tensor.nbytes for tensor in self.tensors())


def _flat(batch: mx.array) -> mx.array:
    """``[B, kv_heads, n, head_dim]`` to ``[1, kv_heads, T, head_dim]``."""
    rows, heads, length, dim = batch.shape
    return batch if rows == 1 else batch.swapaxes(0, 1).reshape(1, heads, rows * length, dim)


def _scattered(where: Scatter, batch: mx.array, tensor: mx.array) -> mx.array:
    """By one index into a table of vectors: to scatter along an inner axis takes MLX five times as long on a CPU."""
    table = tensor.reshape(-1, tensor.shape[-1])
    table[where.index(tensor.shape[1], tensor.shape[2])] = where.taken(batch)
    return table.reshape(tensor.shape)
