"""The rows of a step, grouped by what they can read together: what attending row by row goes by.

Pure Python over slots, but for the two index arrays that layers share.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.runtime.paged.slots import Slots, after, before

# A shared run shorter than this (tokens) is not worth a second partial attention and a merge.
SHARED_MINIMUM = 64


@dataclass(frozen=True)
class Own(ABC):
    """Rows ``[first, first + count)`` of one sequence, at the end of ``context``, which is all that any of them sees."""

    first: int
    count: int
    context: tuple[Slots, ...]

    @property
    def length(self) -> int:
        """Returns how many tokens the context has."""
        return sum(map(len, self.context))

    @property
    def rows(self) -> Sequence[int]:
        """Returns the rows in their order."""
        return range(self.first, self.first + self.count)

    def blocks(self, most: int, window: int | None) -> "list[Own]":
        """Returns the rows so many at a time, each with what it sees at most."""
        begins = range(0, self.count, most)
        return [self._block(begin, min(most, self.count - begin), window) for begin in begins]

    @abstractmethod
    def _block(self, begin: int, count: int, window: int | None) -> "Own": ...


class Alone(Own):
    """Rows that see what is before them, each on its own."""

    @override
    def _block(self, begin: int, count: int, window: int | None) -> Own:
        seen = before(self.context, self.length - self.count + begin + count)
        return Alone(self.first + begin, count, seen if window is None else _last(seen, window + count - 1))


@dataclass(frozen=True)
class Mutual(Own):
    """Rows that see each other whatever their order, and all of the context, which goes on for ``behind`` tokens of the same kind: a
    picture's, which attend both ways.
    """

    behind: int = 0

    @override
    def _block(self, begin: int, count: int, window: int | None) -> Own:
        left = self.behind + self.count - begin  # tokens from its first row on
        seen = self.context if window is None else _last(self.context, window + left - 1)
        return Mutual(self.first + begin, count, seen, left - count)


@dataclass(frozen=True)
class Together:
    """Rows of several sequences, one token each, whose contexts begin with the same slots."""

    rows: tuple[int, ...]
    shared: Slots
    tails: tuple[tuple[Slots, ...], ...]  # what each attends to beside


Part = Own | Together


@dataclass(frozen=True)
class Parts:
    """All rows of a step, part by part."""

    parts: tuple[Part, ...]
    bounds: tuple[int, ...]  # rows before each part but the first
    order: tuple[mx.array, mx.array] | None  # rows as the parts have them, and back; None: they are in order

    @classmethod
    def of(cls, chunks: Sequence[Chunk], contexts: Sequence[Sequence[Slots]], window: int | None) -> Self:
        """Groups decode rows that share the beginning of their context; everything else attends alone, and so does everything with a
        ``window``.
        """
        parts = _grouped(chunks, contexts) if window is None else _alone(chunks, contexts, window)
        rows = [row for part in parts for row in part.rows]
        order = None
        if rows != sorted(rows):
            there = mx.array(rows)
            order = (there, mx.argsort(there))
        return cls(tuple(parts), tuple(itertools.accumulate(len(part.rows) for part in parts[:-1])), order)

    def by_part(self, rows: mx.array) -> mx.array:
        """Returns the rows ``[T, ...]`` as the parts come, one after the other."""
        return rows if self.order is None else rows[self.order[0]]

    def by_row(self, outputs: mx.array) -> mx.array:
        """Returns the outputs of the parts in the order of the step."""
        return outputs if self.order is None else outputs[self.order[1]]


def _alone(chunks: Sequence[Chunk], contexts: Sequence[Sequence[Slots]], window: int) -> list[Part]:
    parts: list[Part] = []
    row = 0
    for chunk, context in zip(chunks, contexts, strict=True):
        parts.extend(replace(part, context=_last(part.context, window + part.count - 1)) for part in _pieces(chunk, context, row))
        row += chunk.count
    return parts


def _pieces(chunk: Chunk, context: Sequence[Slots], row: int) -> Iterator[Own]:
    """Yields the rows of a chunk, the first of which is ``row``: those of each picture whose tokens see each other, and those between."""
    at, end = chunk.start, chunk.start + chunk.count
    for span in chunk.media:
        first, stop = max(span.start, at), min(span.stop, end)
        if span.mutual and first < stop:
            if at < first:
                yield Alone(row + at - chunk.start, first - at, before(context, first))
            yield Mutual(row + first - chunk.start, stop - first, before(context, stop))
            at = stop
    if at < end:
        yield Alone(row + at - chunk.start, end - at, tuple(context))


def _grouped(chunks: Sequence[Chunk], contexts: Sequence[Sequence[Slots]]) -> list[Part]:
    parts: list[Part] = []
    decoding: dict[tuple[int, int], list[tuple[int, Sequence[Slots]]]] = {}
    row = 0
    for chunk, context in zip(chunks, contexts, strict=True):
        if chunk.count == 1:
            decoding.setdefault((context[0].arena, context[0].start), []).append((row, context))
        else:
            parts.extend(_pieces(chunk, context, row))
        row += chunk.count
    decoded = [part for candidates in decoding.values() for part in _share(candidates)]
    return decoded + parts


def _share(candidates: list[tuple[int, Sequence[Slots]]]) -> list[Part]:
    """Returns the parts of rows whose contexts begin at the same slot: the sharing that reads the fewest keys, the rest alone.

    Equal slots are equal tokens: two sequences hold the same block only when the prefix cache gave it to both.
    """
    ranked = sorted(candidates, key=lambda item: len(item[1][0]), reverse=True)
    saved, members = max(((size * len(ranked[size][1][0]), size + 1) for size in range(len(ranked))), default=(0, 0))
    if members < 2 or saved // (members - 1) < SHARED_MINIMUM:
        return [Alone(row, 1, tuple(context)) for row, context in candidates]
    group = sorted(ranked[:members])
    length = min(len(context[0]) for _, context in group)
    # Each row's own newest token is never shared, so a tail is never empty.
    length = min(length, min(sum(map(len, context)) for _, context in group) - 1)
    shared = group[0][1][0].part(0, length)
    together = Together(tuple(row for row, _ in group), shared, tuple(after(context, length) for _, context in group))
    return [together, *(_share(ranked[members:]) if ranked[members:] else [])]


def _last(context: Sequence[Slots], tokens: int) -> tuple[Slots, ...]:
    found: list[Slots] = []
    for slots in reversed(context):
        if tokens <= 0:
            break
        found.append(slots.part(max(0, len(slots) - tokens), len(slots)))
        tokens -= len(slots)
    return tuple(reversed(found))
