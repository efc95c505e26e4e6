"""Where the rows of one call of the model stand in their sequences: what rotary embeddings rotate by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import mlx.core as mx

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.runtime.vision.mrope import shift


@dataclass(frozen=True)
class Positions:
    """One array ``[B]`` for each axis, ``B`` being the rows of the batch. Text has one axis; where rows show a picture, and the model
    rotates by time, height and width, it is handed their positions beside (``Shown``).
    """

    axes: tuple[mx.array, ...]

    @classmethod
    def of_text(cls, chunks: Sequence[Chunk], *, one_row: bool) -> Self:
        """Returns the positions of a row for each token of ``chunks``; with ``one_row``, of the only chunk as one row, whose tokens follow
        its first one. They are further on, or less far, for the pictures before them.
        """
        return cls((mx.array([position for chunk in chunks for position in positions(chunk)[: 1 if one_row else None]]),))

    @property
    def offset(self) -> mx.array:
        """Returns the one axis of a model of text, ``[B]``."""
        (axis,) = self.axes
        return axis


def positions(chunk: Chunk) -> range:
    """Returns the positions of a chunk's tokens, as far as they are text."""
    first = chunk.start + shift(chunk.media, chunk.start)
    return range(first, first + chunk.count)
