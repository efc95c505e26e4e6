"""The rows of a step, grouped by what they can read together: what attending row by row goes by.

Pure Python over slots, but for the two index arrays that layers share.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import mlx.core as mx

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.runtime.paged.slots import Slots, after, before

# A shared run shorter than this (tokens) is not worth a second partial attention and a merge.
SHARED_MINIMUM = 64


@dataclass(frozen=True)
class Alone:
    """Rows ``[first, first + count)`` of one sequence, the last tokens of ``context``."""

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

    def blocks(self, most: int, window: int | None) -> "list[Alone]":
        """Returns the rows so many at a time, each with what it sees at most."""
        begins = range(0, self.count, most)
        return [self._block(begin, min(most, self.count - begin), window) for begin in begins]

    def _block(self, begin: int, count: int, window: int | None) -> "Alone":
        seen = before(self.context, self.length - self.count + begin + count)
        return Alone(self.first + begin, count, seen if window is None else _last(seen, window + count - 1))


@dataclass(frozen=True)
class Together:
    """Rows of several sequences, one token each, whose contexts begin with the same slots."""

    rows: tuple[int, ...]
    shared: Slots
    tails: tuple[tuple[Slots, ...], ...]  # what each attends to beside


Part = Alone | Together


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
        parts.append(Alone(row, chunk.count, _last(context, window + chunk.count - 1)))
        row += chunk.count
    return parts


def _grouped(chunks: Sequence[Chunk], contexts: Sequence[Sequence[Slots]]) -> list[Part]:
    parts: list[Part] = []
    decoding: dict[tuple[int, int], list[tuple[int, Sequence[Slots]]]] = {}
    row = 0
    for chunk, context in zip(chunks, contexts, strict=True):
        if chunk.count == 1:
            decoding.setdefault((context[0].arena, context[0].start), []).append((row, context))
        else:
            parts.append(Alone(row, chunk.count, tuple(context)))
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
