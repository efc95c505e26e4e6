"""Who attends to what in one step: made once, used by every layer.

Pure Python over slots, but for the two index arrays that layers share.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.runtime.paged.positions import Positions
from mlxd.worker.runtime.paged.slots import Geometry, Scatter, Slots, Span, slots_of

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


@dataclass(frozen=True)
class Together:
    """Rows of several sequences, one token each, whose contexts begin with the same slots."""

    rows: tuple[int, ...]
    shared: Slots
    tails: tuple[tuple[Slots, ...], ...]  # what each attends to beside


Part = Alone | Together


@dataclass(frozen=True)
class AttentionPlan:
    """The rows of one call of the model: its tokens, ``T`` in all. ``positions`` are of the rows of the batch."""

    positions: Positions
    writes: tuple[Span | Scatter, ...]
    parts: tuple[Part, ...]
    bounds: tuple[int, ...]  # rows before each part but the first
    order: tuple[mx.array, mx.array] | None  # rows as the parts have them, and back; None: they are in order

    def by_part(self, rows: mx.array) -> mx.array:
        """Returns the rows ``[T, ...]`` as the parts come, one after the other."""
        return rows if self.order is None else rows[self.order[0]]

    def by_row(self, outputs: mx.array) -> mx.array:
        """Returns the outputs of the parts in the order of the step."""
        return outputs if self.order is None else outputs[self.order[1]]

    def windowed(self, size: int) -> "AttentionPlan":
        """Returns the same step for a layer that sees only the last ``size`` tokens: sequences attend alone, each to its window."""
        parts: list[Part] = []
        for part in self.parts:
            if isinstance(part, Alone):
                parts.append(Alone(part.first, part.count, _last(part.context, size + part.count - 1)))
            else:
                parts += [Alone(row, 1, _last((part.shared, *tail), size)) for row, tail in zip(part.rows, part.tails, strict=True)]
        return _plan(self.positions, self.writes, parts)


def plan_attention(chunks: Sequence[Chunk], geometry: Geometry, *, one_row: bool = False) -> AttentionPlan:
    """Groups decode rows that share the beginning of their context; everything else attends alone. With ``one_row`` the only chunk is one
    row of the batch, not a row for each token.
    """
    contexts = [slots_of(chunk.runs, chunk.start + chunk.count, geometry) for chunk in chunks]
    parts = _parts(chunks, contexts)
    return _plan(Positions.of_text(chunks, one_row=one_row), _writes(chunks, contexts), parts)


def _plan(positions: Positions, writes: tuple[Span | Scatter, ...], parts: Sequence[Part]) -> AttentionPlan:
    rows = [row for part in parts for row in part.rows]
    order = None
    if rows != sorted(rows):
        there = mx.array(rows)
        order = (there, mx.argsort(there))
    bounds = tuple(itertools.accumulate(len(part.rows) for part in parts[:-1]))
    return AttentionPlan(positions, writes, tuple(parts), bounds, order)


def _writes(chunks: Sequence[Chunk], contexts: Sequence[Sequence[Slots]]) -> tuple[Span | Scatter, ...]:
    """Returns where the rows are written. A chunk's tokens lie in few spans. Of the sequences that decode, which come first, each has one
    of its own: they are scattered.
    """
    spans: list[Span] = []
    row = 0
    for chunk, context in zip(chunks, contexts, strict=True):
        for slots in _after(context, chunk.start):
            spans.append(Span(slots.arena, slots.start, row, len(slots)))
            row += len(slots)
    single = list(itertools.takewhile(lambda span: span.count == 1, spans))
    if len(single) < 2:
        return tuple(spans)
    return (*_scattered(single), *spans[len(single) :])


def _scattered(single: Sequence[Span]) -> list[Scatter]:
    """Scatters the first rows of the batch, which need not be named where all of them go to one arena."""
    scattered = []
    for arena in sorted({span.arena for span in single}):
        found = [span for span in single if span.arena == arena]
        rows = None if len(found) == len(single) else [span.first for span in found]
        scattered.append(Scatter(arena, [span.start for span in found], rows))
    return scattered


def _parts(chunks: Sequence[Chunk], contexts: Sequence[Sequence[Slots]]) -> list[Part]:
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
    together = Together(tuple(row for row, _ in group), shared, tuple(_after(context, length) for _, context in group))
    return [together, *(_share(ranked[members:]) if ranked[members:] else [])]


def _after(context: Sequence[Slots], tokens: int) -> tuple[Slots, ...]:
    """Returns the slots of ``context`` without those of its first ``tokens``."""
    found = []
    for slots in context:
        if tokens < len(slots):
            found.append(slots.part(tokens, len(slots)) if tokens else slots)
        tokens = max(0, tokens - len(slots))
    return tuple(found)


def _last(context: Sequence[Slots], tokens: int) -> tuple[Slots, ...]:
    found: list[Slots] = []
    for slots in reversed(context):
        if tokens <= 0:
            break
        found.append(slots.part(max(0, len(slots) - tokens), len(slots)))
        tokens -= len(slots)
    return tuple(reversed(found))
