"""The plan of a step that is traced: the same for all steps of its shape, for whatever differs is an array that is not known yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import mlx.core as mx
from typing_extensions import override

from mlxd.errors import MlxdError
from mlxd.worker.engine.plan import Chunk
from mlxd.worker.runtime.paged.attention.decode_rows import DecodeRows, Segment
from mlxd.worker.runtime.paged.attention.parts import Parts
from mlxd.worker.runtime.paged.attention.plan import AttentionPlan
from mlxd.worker.runtime.paged.attention.row_split import RowSplit
from mlxd.worker.runtime.paged.compiled.step_arrays import Bucket
from mlxd.worker.runtime.paged.positions import Positions
from mlxd.worker.runtime.paged.slots import Geometry, Scatter, Span


class NotByArraysError(MlxdError):
    """Attention looks at rows one by one: a compiled step would be right for the rows it was traced with alone."""

    code = "not_by_arrays"


class UnknownWindowError(MlxdError):
    """A layer sees through a window of which there are no arrays; ``window`` is its size in tokens."""

    code = "unknown_window"

    def __init__(self, window: int) -> None:
        super().__init__(f"a layer sees {window} tokens only")
        self.window = window


@dataclass(frozen=True)
class StepInputs:
    """The arrays of a step, read back by their bucket: the tokens ``[rows]``, where they are in their sequences, where their keys and
    values go, and what they see through each window.
    """

    tokens: mx.array
    positions: Positions
    writes: tuple[Scatter, ...]
    views: dict[int | None, DecodeRows] = field(default_factory=dict)

    @classmethod
    def of(cls, arrays: Sequence[mx.array], bucket: Bucket, arenas: Sequence[int], block_size: int) -> "StepInputs":
        """Returns what ``StepArrays.of`` has written."""
        left = iter(arrays)
        tokens, positions = next(left), Positions((next(left),))
        writes = tuple(Scatter(arenas[place], next(left)) for place in bucket.written)
        views = {}
        for seen in bucket.seen:
            segments = tuple(Segment(arenas[place], next(left), next(left), next(left)) for place, _ in seen.blocks)
            views[seen.window] = DecodeRows(bucket.rows, block_size, segments)
        return cls(tokens, positions, writes, views)


class TracedPlan(AttentionPlan):
    """Rows that decode, as ``inputs`` say. The ``chunks`` are those of the step that happens to be traced: nothing that a layer computes
    with may come from them.
    """

    def __init__(self, chunks: Sequence[Chunk], geometry: Geometry, inputs: StepInputs, window: int | None = None) -> None:
        super().__init__(chunks, geometry, inputs.positions, window)
        self._inputs = inputs

    @property
    @override
    def writes(self) -> tuple[Span | Scatter, ...]:
        return self._inputs.writes

    @property
    @override
    def parts(self) -> Parts:
        raise NotByArraysError("it attends row by row")

    @property
    @override
    def split(self) -> RowSplit:
        return RowSplit(self.chunks, (), sum(chunk.count for chunk in self.chunks), None)

    @property
    @override
    def decode_rows(self) -> DecodeRows:
        if self.window not in self._inputs.views:
            raise UnknownWindowError(self.window or 0)
        return self._inputs.views[self.window]

    @override
    def windowed(self, size: int) -> AttentionPlan:
        return TracedPlan(self.chunks, self._geometry, self._inputs, size)
