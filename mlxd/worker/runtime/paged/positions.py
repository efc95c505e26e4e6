"""Where the rows of one call of the model stand in their sequences: what rotary embeddings rotate by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import mlx.core as mx

from mlxd.worker.engine.plan import Chunk


@dataclass(frozen=True)
class Positions:
    """One array ``[B]`` for each axis, ``B`` being the rows of the batch. Text has one axis; a model that also sees pictures may
    rotate by three, time, height and width (M-RoPE, Qwen2-VL).
    """

    axes: tuple[mx.array, ...]

    @classmethod
    def of_text(cls, chunks: Sequence[Chunk], *, one_row: bool) -> Self:
        """Returns the positions of a row for each token of ``chunks``; with ``one_row``, of the only chunk as one row, whose tokens follow
        its first one.
        """
        return cls((mx.array([chunk.start + offset for chunk in chunks for offset in range(1 if one_row else chunk.count)]),))

    @property
    def offset(self) -> mx.array:
        """Returns the one axis of a model of text, ``[B]``."""
        (axis,) = self.axes
        return axis
