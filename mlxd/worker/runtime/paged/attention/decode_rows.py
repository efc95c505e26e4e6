"""The rows of a step that decode, as arrays: whatever works with them takes as many operations for one row as for many."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.runtime.paged.slots import Geometry, Pick

Ints = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Segment:
    """What rows see in one arena: row ``b`` the slots ``first[b] <= i < stop[b]`` of those that its blocks ``table[b]`` have, one block
    after the other; where ``first[b] == stop[b]``, none.

    ``table`` ``[B, N]`` has numbers of blocks within the arena, 0 behind a row's last; ``first`` and ``stop`` are ``[B]``. All are int32.
    """

    arena: int
    table: mx.array
    first: mx.array
    stop: mx.array


@dataclass(frozen=True)
class Read:
    """A segment's slots as they are copied for each row: ``L`` of them, of which ``mask`` ``[B, 1, 1, L]`` says what the row sees."""

    pick: Pick
    mask: mx.array


@dataclass(frozen=True)
class Padding:
    """How large arrays are made: their first sizes that hold what there is. So shapes repeat from step to step. Empty ones mean exact."""

    rows: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()


EXACT = Padding()


@dataclass(frozen=True)
class DecodeRows:
    """Rows that are the newest token of a sequence each, or its newest tokens (a guess is a row like any other). There are ``count`` of
    them; ``segments``, one for every arena that any of them has blocks in, may have more rows for the sake of their shapes. Such a row
    sees slot 0 of the first segment, whatever is there, so that no sum of it is empty; so does every row that is real, somewhere.
    """

    count: int
    block_size: int
    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, chunks: Sequence[Chunk], geometry: Geometry, *, window: int | None = None, padding: Padding = EXACT) -> Self:
        """Returns the rows of ``chunks``, one for each of their tokens; with ``window`` each sees that many of the last tokens at most, and
        blocks that no row of a sequence sees are left out.
        """
        runs = _Runs.of(chunks, geometry, window)
        rows = _padded(len(runs.ends), padding.rows)
        segments = [runs.within(arena, rows, padding.blocks) for arena in np.unique(runs.arena[runs.kept > 0]).tolist()]
        if segments:
            segments[0].stop[len(runs.ends) :] = 1
        return cls(len(runs.ends), geometry.block_size, tuple(segment.done() for segment in segments))

    @cached_property
    def reads(self) -> tuple[Read, ...]:
        """Returns what is copied of each segment."""
        return tuple(_read(segment, self.block_size) for segment in self.segments)


def _read(segment: Segment, size: int) -> Read:
    """Puts a slot that the row sees in the place of those it does not see: nobody's values meet a weight, be it one of 0, for they may be
    no numbers.
    """
    rows, blocks = segment.table.shape
    at = mx.arange(blocks * size)
    first = segment.first[:, None]
    mask = (at >= first) & (at < segment.stop[:, None])
    slots = (segment.table[:, :, None] * size + mx.arange(size)).reshape(rows, -1)
    own = mx.where(mask, slots, mx.take_along_axis(slots, first, axis=1))
    return Read(Pick(segment.arena, own), mask[:, None, None])


@dataclass
class _Tables:
    """A segment that is being made."""

    arena: int
    table: Ints
    first: Ints
    stop: Ints

    def done(self) -> Segment:
        return Segment(self.arena, mx.array(self.table), mx.array(self.first), mx.array(self.stop))


@dataclass
class _Runs:
    """The runs of all rows, one row after the other; a figure of each in every array, but for ``ends``, which has one of each row: it sees
    the tokens before that, from ``begins`` on.
    """

    size: int
    begins: Ints
    ends: Ints
    row: Ints
    arena: Ints
    start: Ints  # the first block that is kept, within the arena
    kept: Ints  # blocks
    token: Ints  # the first token in them

    @classmethod
    def of(cls, chunks: Sequence[Chunk], geometry: Geometry, window: int | None) -> Self:
        size = geometry.block_size
        each = [(chunk, end) for chunk in chunks for end in range(chunk.start + 1, chunk.start + chunk.count + 1)]
        bounds = np.array([bound for chunk, _ in each for run in chunk.runs for bound in (run.start, run.stop)], np.int64)
        starts, lengths = bounds[::2], bounds[1::2] - bounds[::2]
        row = np.repeat(np.arange(len(each)), [len(chunk.runs) for chunk, _ in each])
        token = _before(lengths, row) * size
        ends = np.array([end for _, end in each], np.int64)
        lasts = np.array([chunk.start + chunk.count for chunk, _ in each], np.int64)[row]
        kept = np.clip(-((token - lasts) // size), 0, lengths)
        begins = np.zeros(len(each), np.int64) if window is None else np.maximum(ends - window, 0)
        if window is not None:  # that of the chunk's first row
            since = np.array([max(0, chunk.start + 1 - window) for chunk, _ in each], np.int64)[row]
            skipped = np.clip((since - token) // size, 0, kept)
            starts, kept, token = starts + skipped, kept - skipped, token + skipped * size
        arena, start = geometry.places(starts)
        return cls(size, begins, ends, row, arena, start, kept, token)

    def within(self, arena: int, rows: int, sizes: Sequence[int]) -> _Tables:
        """Returns what ``rows`` see in an arena, in tables of one of ``sizes``."""
        here = np.flatnonzero((self.arena == arena) & (self.kept > 0))
        row, kept = self.row[here], self.kept[here]
        column = _before(kept, row)
        table = np.zeros((rows, _padded(int((column + kept).max()), sizes)), np.int32)
        behind = np.cumsum(kept)
        each = np.arange(behind[-1])  # block after block
        before = behind - kept
        there = np.repeat(row * table.shape[1] + column - before, kept) + each
        table.reshape(-1)[there] = np.repeat(self.start[here] - before, kept) + each
        first, stop = self._reached(self.begins, here, rows), self._reached(self.ends, here, rows)
        first[blind := first == stop] = 0
        stop[blind] = 0
        return _Tables(arena, table, first, stop)

    def _reached(self, bounds: Ints, here: Ints, rows: int) -> Ints:
        """Returns how many of the tokens in the runs ``here`` are before each row's bound. All blocks but a sequence's last are full, so
        that is also the slot behind them.
        """
        row = self.row[here]
        before = np.clip(bounds[row] - self.token[here], 0, self.kept[here] * self.size)
        return np.bincount(row, before, rows).astype(np.int32)


def _before(lengths: Ints, row: Ints) -> Ints:
    """Returns the sum of the lengths before each one in its row."""
    total = np.cumsum(lengths) - lengths
    begins = np.flatnonzero(np.diff(row, prepend=-1))  # of each row
    return total - np.repeat(total[begins], np.diff(begins, append=len(row)))


def _padded(count: int, sizes: Sequence[int]) -> int:
    return next((size for size in sizes if size >= count), count)
