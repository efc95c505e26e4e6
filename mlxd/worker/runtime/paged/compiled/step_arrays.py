"""Everything in which one decode step differs from another, as arrays of a few shapes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import mlx.core as mx
import numpy as np

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.kv.arena_sizes import Arena
from mlxd.worker.runtime.paged.attention.decode_rows import DecodeRows, Padding, Segment
from mlxd.worker.runtime.paged.attention.placement import Placement
from mlxd.worker.runtime.paged.positions import positions
from mlxd.worker.runtime.paged.slots import SPARE, Geometry, slots_of


def _sizes(limit: int) -> tuple[int, ...]:
    """Returns 1 to 8, and from there on four sizes for each power of two: no more than a quarter is padding."""
    sizes, step = list(range(1, 9)), 2
    while sizes[-1] < limit:
        sizes += [sizes[-1] + step * times for times in range(1, 5)]
        step *= 2
    return tuple(sizes)


# A row that is padding costs what a row costs, and a block its copy where keys are gathered; a shape more, a few hundredths of a second.
BUCKETS = Padding(rows=_sizes(1024), blocks=tuple(4 * size for size in _sizes(2**16)))


@dataclass(frozen=True)
class View:
    """What rows see of a group of layers, 0 being those that see everything, through a window of so many tokens, None being all."""

    group: int
    window: int | None


@dataclass(frozen=True)
class Seen:
    """What rows see in a view: so many blocks of each of these arenas, by their place among those of the step."""

    view: View
    blocks: tuple[tuple[int, int], ...]  # place, blocks


@dataclass(frozen=True)
class Lying:
    """Where rows lie in a group of layers: ``arenas`` are the blocks that each has in which they do, ``written`` the places of those that
    get a token.
    """

    arenas: tuple[int, ...]
    written: tuple[int, ...]


@dataclass(frozen=True)
class Bucket:
    """The shape of a step: steps with the same one are the same function of their arrays."""

    rows: int
    groups: tuple[Lying, ...]
    seen: tuple[Seen, ...]
    has_adapters: bool = False  # of any row


@dataclass(frozen=True)
class StepArrays:
    """The arrays of one step, in the order in which ``StepInputs`` reads them. ``arenas`` are, of each group of layers, those that its rows
    have blocks in.
    """

    count: int
    arenas: tuple[tuple[int, ...], ...]
    bucket: Bucket
    arrays: list[mx.array]

    @classmethod
    def of(
        cls,
        placements: Sequence[Placement],
        tokens: mx.array,
        views: Iterable[View],
        existing: Sequence[Sequence[Arena]],
        adapters: Sequence[int] = (),
    ) -> Self:
        """Returns the arrays of a step of newest tokens only, ``tokens`` ``[T]``, which lie as ``placements`` say. ``existing`` are, of
        each group of layers, arenas that may not have all their blocks; ``adapters`` the slots of the tokens' adapters, where any has one.
        """
        rows = next((size for size in BUCKETS.rows if size >= tokens.shape[0]), tokens.shape[0])
        found = {view: _seen(placements[view.group], view.window) for view in views}
        written = [_written(one.chunks, one.geometry, rows) for one in placements]
        arenas = tuple(_arenas(group, found, slots) for group, slots in enumerate(written))
        groups = zip(arenas, placements, existing or [()] * len(arenas), strict=True)
        blocks = [_sizes_of(mine, placement.geometry, known) for mine, placement, known in groups]
        lying = tuple(Lying(sizes, tuple(map(mine.index, slots))) for sizes, mine, slots in zip(blocks, arenas, written, strict=True))
        seen = tuple(Seen(view, _blocks(segments, arenas[view.group])) for view, segments in found.items())
        tables = [array for segments in found.values() for one in segments for array in (one.table, one.first, one.stop)]
        slots = [mx.array(slots) for group in written for slots in group.values()]
        arrays = [_padded(tokens, rows), _positions(placements[0].chunks, rows), *slots, *tables]
        if adapters:
            arrays.append(mx.array([*adapters, *[0] * (rows - len(adapters))], dtype=mx.int32))
        return cls(tokens.shape[0], arenas, Bucket(rows, lying, seen, has_adapters=bool(adapters)), arrays)


def _seen(placement: Placement, window: int | None) -> tuple[Segment, ...]:
    return DecodeRows.of(placement.chunks, placement.geometry, window=window, padding=BUCKETS).segments


def _sizes_of(arenas: Iterable[int], geometry: Geometry, known: Iterable[Arena]) -> tuple[int, ...]:
    """Returns how many blocks arenas have."""
    sizes = {arena.number: arena.blocks for arena in known}
    return tuple(sizes.get(arena, geometry.arena_blocks) for arena in arenas)


def _arenas(group: int, found: Mapping[View, Sequence[Segment]], written: Iterable[int]) -> tuple[int, ...]:
    """Returns the arenas in which rows have blocks, as far as any of them is seen or written."""
    seen = {segment.arena for view, segments in found.items() if view.group == group for segment in segments}
    return tuple(sorted(seen.union(written)))


def _blocks(segments: Iterable[Segment], arenas: Sequence[int]) -> tuple[tuple[int, int], ...]:
    return tuple((arenas.index(segment.arena), segment.table.shape[1]) for segment in segments)


def _written(chunks: Sequence[Chunk], geometry: Geometry, rows: int) -> dict[int, "np.ndarray[tuple[int], np.dtype[np.int32]]"]:
    """Returns for each arena that gets a token the slots ``[rows]`` in it: a row that has none there goes to its spare slot."""
    found: dict[int, np.ndarray[tuple[int], np.dtype[np.int32]]] = {}
    row = behind = 0
    for chunk in chunks:
        behind += chunk.count
        for slots in slots_of(chunk.runs, chunk.start + chunk.count, geometry, since=chunk.start):
            if slots.arena not in found:
                found[slots.arena] = np.full(rows, SPARE, np.int32)
            found[slots.arena][row : row + len(slots)] = range(slots.start, slots.stop)
            row += len(slots)
        if row < behind:
            raise ValueError(f"{chunk.sequence} has no block for its token {chunk.start + chunk.count - behind + row}")
    return {arena: found[arena] for arena in sorted(found)}


def _positions(chunks: Sequence[Chunk], rows: int) -> mx.array:
    found = np.zeros(rows, np.int32)
    known = [position for chunk in chunks for position in positions(chunk)]
    found[: len(known)] = known
    return mx.array(found)


def _padded(tokens: mx.array, rows: int) -> mx.array:
    """Returns the tokens ``[rows]``, int32; they may be in flight still."""
    missing = rows - tokens.shape[0]
    tokens = tokens.astype(mx.int32)
    return mx.concatenate([tokens, mx.zeros((missing,), mx.int32)]) if missing else tokens
