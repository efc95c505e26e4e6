"""Where tokens lie: slots of arenas, and which rows of a call go there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from mlxd.worker.kv.addresses import Addresses
from mlxd.worker.kv.block_table import Run
from mlxd.worker.kv.move import Move


@dataclass(frozen=True)
class Slots:
    """Consecutive slots ``[start, stop)`` of one arena: one slice of its tensors, without a copy."""

    arena: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def part(self, start: int, stop: int) -> "Slots":
        """Returns the slots ``start`` to ``stop`` of these."""
        return Slots(self.arena, self.start + start, self.start + stop)


SPARE = -1  # a slot behind all others of an arena, however large it is: nobody reads it, and what nobody wants is written there


@dataclass(frozen=True)
class Geometry:
    """The sizes ``block_size``, tokens per block, and ``arena_blocks``, blocks per arena at most, as ``worker.kv`` counts them."""

    block_size: int
    arena_blocks: int

    @cached_property
    def addresses(self) -> Addresses:
        """Returns what the numbers of blocks say."""
        return Addresses(self.arena_blocks)

    @property
    def arena_slots(self) -> int:
        """Returns how many tokens an arena holds at most."""
        return self.block_size * self.arena_blocks

    def slots(self, block: int) -> Slots:
        """Returns the slots of one block."""
        first = self.addresses.place(block) * self.block_size
        return Slots(self.addresses.arena(block), first, first + self.block_size)

    def run(self, blocks: range) -> Slots:
        """Returns the slots of neighbours in one arena."""
        first = self.slots(blocks.start)
        return Slots(first.arena, first.start, first.start + len(blocks) * self.block_size)

    def places(self, blocks: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Returns the arenas of blocks, and how many blocks lie before each of them there."""
        arenas, places = np.divmod(blocks, self.arena_blocks)
        return arenas, places


def slots_of(runs: Sequence[Run], tokens: int, geometry: Geometry, *, since: int = 0) -> list[Slots]:
    """Returns the slots of the first ``tokens`` tokens of a sequence whose blocks are ``runs``, without those of the tokens before
    ``since``.
    """
    found = []
    begin = 0
    for run in runs:
        end = min(tokens, begin + len(run) * geometry.block_size)
        if since < end:
            found.append(geometry.slots(run.start).part(max(begin, since) - begin, end - begin))
        if end == tokens:
            break
        begin = end
    return found


def before(context: Sequence[Slots], tokens: int) -> tuple[Slots, ...]:
    """Returns the slots of the first ``tokens`` of ``context``."""
    found = []
    for slots in context:
        if tokens > 0:
            found.append(slots.part(0, min(tokens, len(slots))))
        tokens -= len(slots)
    return tuple(found)


def after(context: Sequence[Slots], tokens: int) -> tuple[Slots, ...]:
    """Returns the slots of ``context`` without those of its first ``tokens``."""
    found = []
    for slots in context:
        if tokens < len(slots):
            found.append(slots.part(tokens, len(slots)) if tokens else slots)
        tokens = max(0, tokens - len(slots))
    return tuple(found)


@dataclass(frozen=True)
class Copy:
    """What ``sources`` hold, one after the other, goes to ``targets`` too: as many slots, and none of them a source."""

    sources: tuple[Slots, ...]
    targets: tuple[Slots, ...]

    @classmethod
    def of(cls, move: Move, geometry: Geometry) -> "Copy":
        """Returns the copy that a move asks for, in as few slices as its blocks make runs."""
        return cls(_runs(map(geometry.slots, move.source)), _runs(map(geometry.slots, move.target)))


def _runs(blocks: Iterable[Slots]) -> tuple[Slots, ...]:
    found: list[Slots] = []
    for slots in blocks:
        last = found[-1] if found else None
        if last is not None and last.arena == slots.arena and last.stop == slots.start:
            found[-1] = Slots(last.arena, last.start, slots.stop)
        else:
            found.append(slots)
    return tuple(found)


@dataclass(frozen=True)
class Span:
    """Rows ``[first, first + count)`` of a call go to consecutive slots of one arena, from ``start`` on."""

    arena: int
    start: int
    first: int
    count: int


class Scatter:
    """``rows`` of a call's batch, one token each, go to ``slots`` of one arena, some of which may be ``SPARE``. Without ``rows`` the first
    ones of the batch do.
    """

    def __init__(self, arena: int, slots: list[int] | mx.array, rows: list[int] | None = None) -> None:
        self.arena = arena
        self.count = len(slots)
        self._slots = mx.array(slots)
        self._rows = None if rows is None else mx.array(rows)
        self._index: dict[tuple[int, int], mx.array] = {}

    def taken(self, batch: mx.array) -> mx.array:
        """Returns of ``[B, kv_heads, 1, head_dim]`` the vectors of its rows' heads, ``[count * kv_heads, head_dim]``."""
        if self._rows is not None:
            batch = batch[self._rows]
        elif self.count != batch.shape[0]:
            batch = batch[: self.count]
        return batch.reshape(-1, batch.shape[-1])

    def index(self, kv_heads: int, arena_slots: int) -> mx.array:
        """Returns where these vectors go in a table of all heads' slots. It is made once for all layers that are alike."""
        if (kv_heads, arena_slots) not in self._index:
            found = self._slots[:, None] % arena_slots + mx.arange(kv_heads) * arena_slots
            self._index[kv_heads, arena_slots] = found.reshape(-1)
        return self._index[kv_heads, arena_slots]


class Pick:
    """``slots`` ``[B, L]`` of one arena, that are copied together for each row of a batch."""

    def __init__(self, arena: int, slots: mx.array) -> None:
        self.arena = arena
        self._slots = slots
        self._index: dict[tuple[int, int], mx.array] = {}

    def index(self, kv_heads: int, arena_slots: int) -> mx.array:
        """Returns where they are in a table of all heads' slots, ``[B, kv_heads, L]``. It is made once for all layers that are alike."""
        if (kv_heads, arena_slots) not in self._index:
            self._index[kv_heads, arena_slots] = self._slots[:, None] + (mx.arange(kv_heads) * arena_slots)[:, None]
        return self._index[kv_heads, arena_slots]
