"""Everything in which one decode step differs from another, as arrays of a few shapes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import mlx.core as mx
import numpy as np

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.runtime.paged.attention.decode_rows import DecodeRows, Padding, Segment
from mlxd.worker.runtime.paged.slots import Geometry, slots_of


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
class Seen:
    """What rows see through one window, None being all: so many blocks of each of these arenas, by their place among those of the step."""

    window: int | None
    blocks: tuple[tuple[int, int], ...]  # place, blocks


@dataclass(frozen=True)
class Bucket:
    """The shape of a step: steps with the same one are the same function of their arrays. ``written`` are the places of arenas that get a
    token; ``arenas`` is how many there are.
    """

    rows: int
    arenas: int
    written: tuple[int, ...]
    seen: tuple[Seen, ...]


@dataclass(frozen=True)
class StepArrays:
    """The arrays of one step, in the order in which ``StepInputs`` reads them. ``arenas`` are those that its rows have blocks in."""

    count: int
    arenas: tuple[int, ...]
    bucket: Bucket
    arrays: list[mx.array]

    @classmethod
    def of(cls, chunks: Sequence[Chunk], tokens: mx.array, geometry: Geometry, windows: Iterable[int | None]) -> Self:
        """Returns the arrays of a step whose ``chunks`` are newest tokens only, ``tokens`` ``[T]``."""
        views = {window: DecodeRows.of(chunks, geometry, window=window, padding=BUCKETS) for window in windows}
        everything = views[None].segments
        arenas = tuple(segment.arena for segment in everything)
        rows = everything[0].table.shape[0]
        written = _written(chunks, geometry, rows)
        seen = tuple(Seen(window, _blocks(view.segments, arenas)) for window, view in views.items())
        bucket = Bucket(rows, len(arenas), tuple(arenas.index(arena) for arena in written), seen)
        segments = [segment for view in views.values() for segment in view.segments]
        tables = [array for segment in segments for array in (segment.table, segment.first, segment.stop)]
        slots = [mx.array(slots) for slots in written.values()]
        return cls(tokens.shape[0], arenas, bucket, [_padded(tokens, rows), _positions(chunks, rows), *slots, *tables])


def _blocks(segments: Sequence[Segment], arenas: Sequence[int]) -> tuple[tuple[int, int], ...]:
    return tuple((arenas.index(segment.arena), segment.table.shape[1]) for segment in segments)


def _written(chunks: Sequence[Chunk], geometry: Geometry, rows: int) -> dict[int, "np.ndarray[tuple[int], np.dtype[np.int32]]"]:
    """Returns for each arena that gets a token the slots ``[rows]`` in it: a row that has none there goes to its spare slot."""
    found: dict[int, np.ndarray[tuple[int], np.dtype[np.int32]]] = {}
    row = behind = 0
    for chunk in chunks:
        behind += chunk.count
        for slots in slots_of(chunk.runs, chunk.start + chunk.count, geometry, since=chunk.start):
            if slots.arena not in found:
                found[slots.arena] = np.full(rows, geometry.spare_slot, np.int32)
            found[slots.arena][row : row + len(slots)] = range(slots.start, slots.stop)
            row += len(slots)
        if row < behind:
            raise ValueError(f"{chunk.sequence} has no block for its token {chunk.start + chunk.count - behind + row}")
    return {arena: found[arena] for arena in sorted(found)}


def _positions(chunks: Sequence[Chunk], rows: int) -> mx.array:
    found = np.zeros(rows, np.int32)
    known = [token for chunk in chunks for token in range(chunk.start, chunk.start + chunk.count)]
    found[: len(known)] = known
    return mx.array(found)


def _padded(tokens: mx.array, rows: int) -> mx.array:
    """Returns the tokens ``[rows]``, int32; they may be in flight still."""
    missing = rows - tokens.shape[0]
    tokens = tokens.astype(mx.int32)
    return mx.concatenate([tokens, mx.zeros((missing,), mx.int32)]) if missing else tokens
