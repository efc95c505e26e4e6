"""The plan of a step that is traced: the same for all steps of its shape, for whatever differs is an array that is not known yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import mlx.core as mx
from typing_extensions import override

from mlxd.errors import MlxdError
from mlxd.worker.runtime.paged.attention.decode_rows import DecodeRows, Segment
from mlxd.worker.runtime.paged.attention.parts import Parts
from mlxd.worker.runtime.paged.attention.placement import Placement
from mlxd.worker.runtime.paged.attention.plan import AttentionPlan
from mlxd.worker.runtime.paged.attention.row_split import RowSplit
from mlxd.worker.runtime.paged.compiled.step_arrays import Bucket, View
from mlxd.worker.runtime.paged.positions import Positions
from mlxd.worker.runtime.paged.slots import Scatter, Span


class NotByArraysError(MlxdError):
    """Attention looks at rows one by one: a compiled step would be right for the rows it was traced with alone."""

    code = "not_by_arrays"


class UnknownViewError(MlxdError):
    """A layer sees its blocks in a ``view`` of which there are no arrays."""

    code = "unknown_view"

    def __init__(self, view: View) -> None:
        super().__init__(f"a layer of group {view.group} sees {view.window or 'all'} tokens")
        self.view = view


@dataclass(frozen=True)
class StepInputs:
    """The arrays of a step, read back by their bucket: the tokens ``[rows]``, where they are in their sequences, where their keys and
    values go in each group of layers, and what they see in each view.
    """

    tokens: mx.array
    positions: Positions
    writes: tuple[tuple[Scatter, ...], ...]
    views: dict[View, DecodeRows] = field(default_factory=dict)
    slots: mx.array | None = None  # of the tokens' adapters, ``[rows]``; None: none has one

    @classmethod
    def of(cls, arrays: Sequence[mx.array], bucket: Bucket, arenas: Sequence[Sequence[int]], block_size: int) -> "StepInputs":
        """Returns what ``StepArrays.of`` has written."""
        left = iter(arrays)
        tokens, positions = next(left), Positions((next(left),))
        groups = zip(bucket.groups, arenas, strict=True)
        writes = tuple(tuple(Scatter(mine[place], next(left)) for place in lying.written) for lying, mine in groups)
        views = {}
        for seen in bucket.seen:
            mine = arenas[seen.view.group]
            segments = tuple(Segment(mine[place], next(left), next(left), next(left)) for place, _ in seen.blocks)
            views[seen.view] = DecodeRows(bucket.rows, block_size, segments)
        return cls(tokens, positions, writes, views, next(left) if bucket.has_adapters else None)


class TracedPlan(AttentionPlan):
    """Rows that decode, as ``inputs`` say, in a ``view`` of theirs. Those placed are of the step that happens to be traced: nothing that a
    layer computes with may come from them.
    """

    def __init__(self, placement: Placement, inputs: StepInputs, view: View) -> None:
        super().__init__(placement.chunks, placement.geometry, inputs.positions, view.window)
        self._placement = placement
        self._inputs = inputs
        self._view = view

    @property
    @override
    def writes(self) -> tuple[Span | Scatter, ...]:
        return self._inputs.writes[self._view.group]

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
        if self._view not in self._inputs.views:
            raise UnknownViewError(self._view)
        return self._inputs.views[self._view]

    @override
    def windowed(self, size: int) -> AttentionPlan:
        return TracedPlan(self._placement, self._inputs, View(self._view.group, size))
