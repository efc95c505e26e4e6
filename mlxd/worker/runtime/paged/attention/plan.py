"""Who attends to what in one step: made once, used by every layer."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.runtime.paged.attention.copies import Copies
from mlxd.worker.runtime.paged.attention.decode_rows import DecodeRows
from mlxd.worker.runtime.paged.attention.parts import Parts
from mlxd.worker.runtime.paged.attention.placement import Placement
from mlxd.worker.runtime.paged.attention.row_split import RowSplit, decodes
from mlxd.worker.runtime.paged.positions import Positions
from mlxd.worker.runtime.paged.slots import Geometry, Scatter, Slots, Span, slots_of


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
        self._copies: dict[int | None, Copies] = {}

    @cached_property
    def writes(self) -> tuple[Span | Scatter, ...]:
        """Returns where the rows' keys and values go."""
        return _writes(self.chunks, self._geometry)

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

    @property
    def longest(self) -> int:
        """Returns the largest number of tokens that a row sees which decodes; 0 without one."""
        return max(self._seen, default=0)

    @property
    def seen(self) -> int:
        """Returns how many tokens the sequences have that decode, as far as their rows see them."""
        return sum(self._seen)

    @cached_property
    def _seen(self) -> list[int]:
        lengths = [chunk.start + chunk.count for chunk in self.split.decoding]
        return lengths if self.window is None else [min(length, self.window) for length in lengths]

    def windowed(self, size: int) -> "AttentionPlan":
        """Returns the same step for a layer that sees only the last ``size`` tokens."""
        return AttentionPlan(self.chunks, self._geometry, self.positions, size)

    def copies(self, window: int | None) -> Copies:
        """Returns what rows of the batch see, each of which is a chunk, up to ``window`` of the last tokens."""
        if window not in self._copies:
            self._copies[window] = Copies.of(self.chunks, self._geometry, window)
        return self._copies[window]

    @cached_property
    def _contexts(self) -> list[list[Slots]]:
        return [slots_of(chunk.runs, chunk.start + chunk.count, self._geometry) for chunk in self.chunks]


def plan_attention(chunks: Sequence[Chunk], geometry: Geometry, *, one_row: bool = False) -> AttentionPlan:
    """Returns the plan of the chunks. With ``one_row`` the only one is one row of the batch, not a row for each token."""
    return AttentionPlan(chunks, geometry, Positions.of_text(chunks, one_row=one_row))


def plan_groups(placements: Sequence[Placement], *, one_row: bool) -> list[AttentionPlan]:
    """Returns the plan of each group of layers, whose rows are at the same positions."""
    plan = plan_attention(placements[0].chunks, placements[0].geometry, one_row=one_row)
    return [plan, *(AttentionPlan(one.chunks, one.geometry, plan.positions) for one in placements[1:])]


def _writes(chunks: Sequence[Chunk], geometry: Geometry) -> tuple[Span | Scatter, ...]:
    """Returns where the rows are written. A prompt's tokens lie in few spans. Those of sequences that decode are scattered."""
    spans: list[Span] = []
    single: dict[int, list[tuple[int, int]]] = {}  # slots and rows, by arena
    row = 0
    for chunk in chunks:
        for slots in slots_of(chunk.runs, chunk.start + chunk.count, geometry, since=chunk.start):
            if decodes(chunk):
                single.setdefault(slots.arena, []).extend(zip(range(slots.start, slots.stop), range(row, row + len(slots)), strict=True))
            else:
                spans.append(Span(slots.arena, slots.start, row, len(slots)))
            row += len(slots)
    return (*_scattered(single), *spans)


def _scattered(single: Mapping[int, Sequence[tuple[int, int]]]) -> list[Span | Scatter]:
    """Scatters rows, which need not be named where they are the first of the batch and all go to one arena."""
    if sum(map(len, single.values())) == 1:
        return [Span(arena, slot, row, 1) for arena, ((slot, row),) in single.items()]
    scattered: list[Span | Scatter] = []
    for arena, found in sorted(single.items()):
        slots, rows = ([pair[at] for pair in found] for at in (0, 1))
        scattered.append(Scatter(arena, slots, None if len(single) == 1 and rows[-1] == len(rows) - 1 else rows))
    return scattered
