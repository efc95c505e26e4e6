"""Who attends to what in one step: made once, used by every layer."""

import itertools
from collections.abc import Sequence
from functools import cached_property

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.runtime.paged.attention.decode_rows import DecodeRows
from mlxd.worker.runtime.paged.attention.parts import Parts
from mlxd.worker.runtime.paged.attention.row_split import RowSplit
from mlxd.worker.runtime.paged.positions import Positions
from mlxd.worker.runtime.paged.slots import Geometry, Scatter, Slots, Span, after, slots_of


class AttentionPlan:
    """The rows of one call of the model: its tokens, ``T`` in all, and what they see. Each way to attend finds that here as it wants it,
    made when it first asks.

    ``positions`` are of the rows of the batch. With ``window`` a row sees only so many of the last tokens.
    """

    def __init__(self, chunks: Sequence[Chunk], geometry: Geometry, positions: Positions, window: int | None = None) -> None:
        self.chunks = tuple(chunks)
        self.positions = positions
        self.window = window
        self._geometry = geometry

    @cached_property
    def writes(self) -> tuple[Span | Scatter, ...]:
        """Returns where the rows' keys and values go."""
        return _writes(self.chunks, self._contexts)

    @cached_property
    def parts(self) -> Parts:
        """Returns all rows, grouped by what they can read together."""
        return Parts.of(self.chunks, self._contexts, self.window)

    @cached_property
    def split(self) -> RowSplit:
        """Returns which rows decode, and which are of prompts."""
        return RowSplit.of(self.chunks)

    @cached_property
    def decode_rows(self) -> DecodeRows:
        """Returns the rows that decode, in the order of the step."""
        return DecodeRows.of(self.split.decoding, self._geometry, window=self.window)

    @cached_property
    def prompts(self) -> "AttentionPlan":
        """Returns the plan of the other rows alone, in the order of the step."""
        return AttentionPlan(self.split.prompts, self._geometry, self.positions, self.window)

    def windowed(self, size: int) -> "AttentionPlan":
        """Returns the same step for a layer that sees only the last ``size`` tokens."""
        return AttentionPlan(self.chunks, self._geometry, self.positions, size)

    @cached_property
    def _contexts(self) -> list[list[Slots]]:
        return [slots_of(chunk.runs, chunk.start + chunk.count, self._geometry) for chunk in self.chunks]


def plan_attention(chunks: Sequence[Chunk], geometry: Geometry, *, one_row: bool = False) -> AttentionPlan:
    """Returns the plan of the chunks. With ``one_row`` the only one is one row of the batch, not a row for each token."""
    return AttentionPlan(chunks, geometry, Positions.of_text(chunks, one_row=one_row))


def _writes(chunks: Sequence[Chunk], contexts: Sequence[Sequence[Slots]]) -> tuple[Span | Scatter, ...]:
    """Returns where the rows are written. A chunk's tokens lie in few spans. Of the sequences that decode, which come first, each has one
    of its own: they are scattered.
    """
    spans: list[Span] = []
    row = 0
    for chunk, context in zip(chunks, contexts, strict=True):
        for slots in after(context, chunk.start):
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
