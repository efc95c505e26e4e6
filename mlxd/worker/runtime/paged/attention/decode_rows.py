"""The rows of a step that decode, as arrays: whatever works with them takes as many operations for one row as for many."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.runtime.paged.slots import Geometry, Pick

Blocks = npt.NDArray[np.int32]

_BLOCKS = np.arange(2**16, dtype=np.int32)  # to copy ranges from


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
        views = [_View.of(chunk, geometry, window) for chunk in chunks]
        count = sum(len(view.ends) for view in views)
        arenas = sorted({arena for view in views for arena in view.blocks})
        rows = _padded(count, padding.rows)
        segments = [_segment(arena, views, rows, geometry.block_size, padding) for arena in arenas]
        if segments:
            segments[0].stop[count:] = 1
        return cls(count, geometry.block_size, tuple(segment.done() for segment in segments))

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
    table: Blocks
    first: Blocks
    stop: Blocks

    def done(self) -> Segment:
        return Segment(self.arena, mx.array(self.table), mx.array(self.first), mx.array(self.stop))


@dataclass
class _View:
    """What the rows of one chunk see: row ``i`` the tokens before ``ends[i]``, and of those the last ``window``. ``blocks`` are ranges
    within each arena, and ``tokens`` the sequence's tokens that such a range holds, from the first to behind the last.
    """

    ends: range
    window: int | None
    blocks: dict[int, list[range]] = field(default_factory=dict)
    tokens: dict[int, list[range]] = field(default_factory=dict)

    @classmethod
    def of(cls, chunk: Chunk, geometry: Geometry, window: int | None) -> Self:
        view = cls(range(chunk.start + 1, chunk.start + chunk.count + 1), window)
        size, token = geometry.block_size, 0
        for run in chunk.runs:
            skipped = min(len(run), max(0, view.since(view.ends[0]) - token) // size)
            stop = min(token + len(run) * size, view.ends[-1])
            begin = token + skipped * size
            if begin < stop:
                arena, start = divmod(run.start + skipped, geometry.arena_blocks)
                view.blocks.setdefault(arena, []).append(range(start, start - (begin - stop) // size))
                view.tokens.setdefault(arena, []).append(range(begin, stop))
            token += len(run) * size
        return view

    def since(self, end: int) -> int:
        """Returns the first token that the row before ``end`` sees."""
        return 0 if self.window is None else max(0, end - self.window)

    def seen(self, arena: int, size: int) -> Iterator[tuple[int, int]]:
        """Yields for each row the first slot of the arena that it sees, among those of its blocks, and the one behind the last."""
        for end in self.ends:
            first, stop, base = 0, 0, 0
            for tokens in self.tokens[arena]:
                begin, behind = max(tokens.start, self.since(end)), min(tokens.stop, end)
                if begin < behind:
                    first = first if stop else base + begin - tokens.start
                    stop = base + behind - tokens.start
                base += -(-len(tokens) // size) * size
            yield first, stop


def _segment(arena: int, views: Sequence[_View], rows: int, size: int, padding: Padding) -> _Tables:
    most = max(sum(map(len, view.blocks.get(arena, ()))) for view in views)
    table = np.zeros((rows, _padded(most, padding.blocks)), np.int32)
    first, stop = np.zeros(rows, np.int32), np.zeros(rows, np.int32)
    row = 0
    for view in views:
        after = row + len(view.ends)
        if arena in view.blocks:
            _fill(table[row:after], view.blocks[arena])
            for at, (begin, behind) in enumerate(view.seen(arena, size), start=row):
                first[at], stop[at] = begin, behind
        row = after
    return _Tables(arena, table, first, stop)


def _fill(rows: Blocks, blocks: Sequence[range]) -> None:
    """Writes the same blocks into each of ``rows``."""
    at = 0
    for run in blocks:
        rows[:, at : at + len(run)] = _range(run)
        at += len(run)


def _range(run: range) -> Blocks:
    """Returns a view where it can, which is several times cheaper than to count anew."""
    return _BLOCKS[run.start : run.stop] if run.stop <= len(_BLOCKS) else np.arange(run.start, run.stop, dtype=np.int32)


def _padded(count: int, sizes: Sequence[int]) -> int:
    return next((size for size in sizes if size >= count), count)
