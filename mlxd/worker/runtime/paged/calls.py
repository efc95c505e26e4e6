"""How the chunks of a step are laid out in calls of the model, and which of their rows have logits that somebody wants."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import msgspec

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.engine.sampled import SampledRow


class Layout(Enum):
    """What a row of the batch is."""

    TOKENS = auto()  # a token, whoever it belongs to: there is one call
    SEQUENCES = auto()  # a sequence: one call for all that decode, ``[B, 1]``, and one for each other chunk, ``[1, n]``
    CHUNKS = auto()  # a chunk, alone in its call


@dataclass(frozen=True)
class Call:
    """One call of the model. ``rows`` says where its tokens are among those of the step; with ``one_row`` they are one row of the batch."""

    chunks: tuple[Chunk, ...]
    rows: tuple[int, ...]
    one_row: bool

    @property
    def sampled(self) -> tuple[SampledRow, ...]:
        """Returns the rows that are sampled."""
        return tuple(row for chunk in self.chunks for row in chunk.sampled_rows)

    @property
    def placed(self) -> tuple[Chunk, ...]:
        """Returns the chunks as they are placed: guesses that are one row with what is before them are tokens like any others."""
        return tuple(msgspec.structs.replace(chunk, drafts=0) for chunk in self.chunks) if self.one_row else self.chunks

    @property
    def sequences(self) -> tuple[str, ...]:
        """Returns whose chunks they are."""
        return tuple(chunk.sequence for chunk in self.chunks)

    @property
    def slots(self) -> list[int]:
        """Returns the slot of each row's adapter."""
        return [chunk.adapter for chunk in self.chunks for _ in range(chunk.count)]

    def split(self, groups: Sequence[tuple[str, ...]]) -> "list[Call]":
        """Returns a call for each of the groups of its sequences, each of which has one token in it."""
        return [self] if len(groups) == 1 else [self._part([self.sequences.index(name) for name in group]) for group in groups]

    def _part(self, places: Sequence[int]) -> "Call":
        return Call(tuple(self.chunks[at] for at in places), tuple(self.rows[at] for at in places), self.one_row)


def calls(chunks: Sequence[Chunk], layout: Layout) -> Iterator[Call]:
    """Yields the calls that compute ``chunks``, those of a sequence in their order."""
    rows, start = [], 0
    for chunk in chunks:
        rows.append(range(start, start + chunk.count))
        start += chunk.count
    if layout is Layout.TOKENS:
        if chunks:
            yield Call(tuple(chunks), tuple(range(start)), one_row=False)
        return
    decoding = list(_decoding(chunks)) if layout is Layout.SEQUENCES else []
    if decoding:
        yield Call(tuple(chunks[at] for at in decoding), tuple(rows[at].start for at in decoding), one_row=False)
    for at, chunk in enumerate(chunks):
        if at not in decoding:
            yield Call((chunk,), tuple(rows[at]), one_row=True)


def _decoding(chunks: Sequence[Chunk]) -> Iterator[int]:
    """Yields which chunks can be rows of one batch: each the only one of its sequence."""
    counts = Counter(chunk.sequence for chunk in chunks)
    for at, chunk in enumerate(chunks):
        if _decodes(chunk) and counts[chunk.sequence] == 1:
            yield at


def _decodes(chunk: Chunk) -> bool:
    """Tells whether the chunk is one more token after a state that is there before the step begins."""
    return chunk.count == 1 and chunk.start > 0 and chunk.resume is None


@dataclass(frozen=True)
class WantedRows:
    """Which of the ``count`` rows of a call have logits that somebody wants: ``selected``. ``sampled`` and ``targets`` are places among
    these: the rows that are sampled, and those of targets.
    """

    count: int
    selected: list[int]
    sampled: list[int]
    targets: list[int]

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> "WantedRows":
        """Returns the rows of the chunks' tokens, one chunk after the other."""
        rows = cls(sum(chunk.count for chunk in chunks), [], [], [])
        first = 0
        for chunk in chunks:
            wanted = range(first, first + len(chunk.targets))
            rows.targets.extend(range(len(rows.selected), len(rows.selected) + len(wanted)))
            rows.selected.extend(wanted)
            first += chunk.count
            if chunk.samples:
                rows.sampled.extend(range(len(rows.selected), len(rows.selected) + chunk.drafts + 1))
                rows.selected.extend(range(first - 1 - chunk.drafts, first))
        return rows
