"""Which adapter each row of the present call has, for all layers of a model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import mlx.core as mx

# Rows of one adapter side by side that are worth a product of their own; below, each row gathers its matrices. On a CPU both take the same
# time with 8 rows, and with 64 the product half of it.
_LONG = 16

Index = tuple[int, ...]  # by slot, where in its stacks a layer has that adapter; 0: nowhere


@dataclass(frozen=True)
class Segment:
    """Rows ``start`` to ``stop`` of a call, which are all at ``place`` of a layer's stacks; None: each at its own."""

    start: int
    stop: int
    place: int | None


@dataclass(frozen=True)
class Rows:
    """Where in a layer's stacks the ``count`` rows of a call are, ``[count]``. ``segments`` are all of them, in order."""

    places: mx.array
    count: int
    segments: tuple[Segment, ...]
    some_without: bool  # rows of no adapter may be among them

    @classmethod
    def of(cls, places: Sequence[int]) -> "Rows":
        """Returns the rows at these places, which are known."""
        return cls(mx.array(list(places), dtype=mx.int32), len(places), tuple(_segments(places)), 0 in places)

    @classmethod
    def traced(cls, places: mx.array) -> "Rows":
        """Returns rows at places ``[count]`` that are known only when they are computed."""
        count = places.shape[0]
        return cls(places, count, (Segment(0, count, None),), some_without=True)

    @property
    def only(self) -> int | None:
        """Returns the place at which all rows are; None where they are not, or nobody knows."""
        return self.segments[0].place if len(self.segments) == 1 else None

    def repeated(self, times: int) -> "Rows":
        """Returns each row as so many, one after the other."""
        if times == 1:
            return self
        segments = tuple(Segment(one.start * times, one.stop * times, one.place) for one in self.segments)
        return Rows(mx.repeat(self.places, times), self.count * times, segments, self.some_without)


class PresentSlots:
    """The slots of the present call's rows; slot 0 is that of rows without an adapter. Between calls there are none."""

    def __init__(self) -> None:
        self.is_used = False  # any row has an adapter: layers look at nothing else where none has
        self._slots: Sequence[int] = ()
        self._selected: Sequence[int] | None = None
        self._traced: mx.array | None = None
        self._known: dict[tuple[Index, bool], Rows | None] = {}
        self._routes: mx.array | None = None
        self._order: mx.array | None = None

    def begin(self, slots: Sequence[int], selected: Sequence[int] | None = None) -> None:
        """Takes the slots of a call's rows, and which of these the output projection is given; None: all."""
        self.end()
        self._slots, self._selected, self.is_used = slots, selected, any(slots)

    def begin_traced(self, slots: mx.array) -> None:
        """Takes the slots ``[rows]`` of a call that is traced: they differ from one to the next."""
        self.end()
        self._traced, self.is_used = slots, True

    def end(self) -> None:
        """Forgets the call, so that layers compute as without adapters until the next one begins."""
        self.is_used, self._traced, self._selected, self._routes, self._order = False, None, None, None, None
        self._slots = ()
        self._known.clear()

    def rows(self, index: Index, *, is_head: bool = False) -> Rows | None:
        """Returns where a layer with this ``index`` has the adapters of the call's rows; None where it has none of them. It is made once
        for all layers that are alike.
        """
        key = index, is_head
        if key not in self._known:
            self._known[key] = self._rows(index, is_head=is_head)
        return self._known[key]

    def _rows(self, index: Index, *, is_head: bool) -> Rows | None:
        if self._traced is not None:
            table = mx.array((*index, 0), dtype=mx.int32)
            return Rows.traced(table[mx.minimum(self._traced, len(index))])
        slots = self._slots if not is_head or self._selected is None else [self._slots[row] for row in self._selected]
        places = [index[slot] if slot < len(index) else 0 for slot in slots]
        return Rows.of(places) if any(places) else None

    # ---- rows that experts are given ----

    def route(self, experts: mx.array) -> None:
        """Takes which experts ``[..., k]`` each row of the layer to come is given to."""
        self._routes, self._order = experts, None

    @property
    def sorted_rows(self) -> mx.array:
        """Returns of which row each expert's input is, ``[rows * k]``, where mlx-lm has sorted them by their experts: as its own
        ``_gather_sort`` does, from the same indices.
        """
        if self._routes is None:
            raise RuntimeError("nobody has told which experts rows are given to")
        if self._order is None:
            self._order = mx.argsort(self._routes.flatten()) // self._routes.shape[-1]
        return self._order


def _segments(places: Sequence[int]) -> Iterator[Segment]:
    """Yields long runs of one place by themselves, and what is between them as one."""
    start = begun = 0
    for place, run in groupby(places):
        length = len(list(run))
        if length >= _LONG or length == len(places):
            if begun < start:
                yield Segment(begun, start, None)
            yield Segment(start, start + length, place)
            begun = start + length
        start += length
    if begun < start:
        yield Segment(begun, start, None)
