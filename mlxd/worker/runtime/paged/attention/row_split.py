"""The rows of a step that decode, and those of prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import mlx.core as mx

from mlxd.worker.engine.plan import Chunk


@dataclass(frozen=True)
class RowSplit:
    """The chunks of a step by what they are, and where their rows are in it. ``order`` is None where those that decode come first."""

    decoding: tuple[Chunk, ...]
    prompts: tuple[Chunk, ...]
    count: int  # of rows that decode
    order: tuple[mx.array, mx.array] | None  # rows that decode, then the others; and back

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> Self:
        """Returns the split of all rows of the chunks."""
        decoding: list[Chunk] = []
        prompts: list[Chunk] = []
        row, rows = 0, list[int]()
        others: list[int] = []
        for chunk in chunks:
            (decoding if decodes(chunk) else prompts).append(chunk)
            (rows if decodes(chunk) else others).extend(range(row, row + chunk.count))
            row += chunk.count
        order = None
        if rows and others and rows[-1] > others[0]:
            there = mx.array(rows + others)
            order = (there, mx.argsort(there))
        return cls(tuple(decoding), tuple(prompts), len(rows), order)

    def apart(self, rows: mx.array) -> tuple[mx.array, mx.array]:
        """Returns of the rows ``[T, ...]`` those that decode, and the others."""
        ordered = rows if self.order is None else rows[self.order[0]]
        decoding, others = mx.split(ordered, [self.count], axis=0)
        return decoding, others

    def together(self, decoding: mx.array, others: mx.array) -> mx.array:
        """Returns the outputs of both in the order of the step."""
        joined = mx.concatenate([decoding, others], axis=0)
        return joined if self.order is None else joined[self.order[1]]


def decodes(chunk: Chunk) -> bool:
    """Tells whether the chunk is the newest token of its sequence, and guesses of what comes after it."""
    return chunk.count == 1 + chunk.drafts
