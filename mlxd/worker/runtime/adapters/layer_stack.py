"""What the loaded adapters add to one layer, stacked: place 0 adds nothing."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

import mlx.core as mx

from mlxd.errors import AdapterSourceError, MlxdError
from mlxd.worker.facts.adapters.tensor_values import LayerValues
from mlxd.worker.runtime.adapters.present_slots import Index, PresentSlots, Rows, Segment

T = TypeVar("T")


class UnknownRowsError(MlxdError):
    """A layer is given something else than the call's rows, so that nobody knows which adapter is whose."""

    code = "unknown_rows"


@dataclass(frozen=True)
class Entry:
    """What one adapter adds to a layer: A ``[..., inputs, rank]`` and B ``[..., rank, outputs]``, with the scale in it, float32. ``gain``
    ``[outputs]`` is by how much of itself the layer's own output grows (DoRA); B has been multiplied by the whole of it.
    """

    a: mx.array
    b: mx.array
    gain: mx.array | None = None

    @classmethod
    def of(cls, values: LayerValues, weight: mx.array | None) -> "Entry":
        """Returns what is to be stacked; of DoRA it needs the layer's own ``weight`` ``[outputs, inputs]``, float32.

        The output of the layer is ``m / |W + BA| (W + BA) x``: Liu et al. 2024, as mlx-lm's ``DoRALinear`` and PEFT compute it. Rows that
        are all zero, as a head may have for tokens that there are not, stay so.
        """
        a, b = mx.array(values.a), mx.array(values.b)
        if values.magnitude is None or weight is None:
            return cls(a, b, None)
        magnitude, norm = mx.array(values.magnitude), mx.linalg.norm(weight + (a @ b).T, axis=1)
        gain = mx.where((magnitude == 0) & (norm == 0), 1.0, magnitude / norm)
        return cls(a, b * gain, gain - 1)

    def kept_in(self, dtype: mx.Dtype) -> "Entry":
        """Returns it in the type in which it is computed. Raises ``AdapterSourceError`` where that does not hold its numbers."""
        parts = [part.astype(dtype) for part in (self.a, self.b, self.gain) if part is not None]
        if not mx.stack([mx.isfinite(part).all() for part in parts]).all().item():
            raise AdapterSourceError(
                f"values are too large for {str(dtype).removeprefix('mlx.core.')}, or a weight of which DoRA takes the length is zero"
            )
        return Entry(*parts)


class LayerStack(Protocol):
    """The stacks of one layer. ``index`` says by slot where in them an adapter is."""

    index: Index

    def put(self, slot: int, entry: Entry) -> None:
        """Adds an adapter, and evaluates the stacks. Where the device cannot, they are as before."""

    def take_out(self, slot: int) -> None:
        """Removes an adapter, and what others need no longer because of it. One that it does not have is ignored. Where the device cannot,
        it is there as before.
        """

    @property
    def nbytes(self) -> int:
        """Returns the bytes of the stacks."""


class LinearStack(LayerStack):
    """The stacks of a linear layer: A ``[places, inputs, rank]``, B ``[places, rank, outputs]``, ranks padded to the largest, and gains
    ``[places, outputs]`` where an adapter has one.
    """

    def __init__(self, present: PresentSlots, dtype: mx.Dtype, *, is_head: bool) -> None:
        self.index: Index = ()
        self._present = present
        self._dtype = dtype
        self._is_head = is_head
        self._ranks: list[int] = []  # by place, from 1 on
        self._gains: list[bool] = []
        self._a = self._b = self._gain = mx.zeros((0,))

    def put(self, slot: int, entry: Entry) -> None:
        """Adds an adapter behind the others."""
        entry = entry.kept_in(self._dtype)
        a, b = entry.a[None], entry.b[None]
        others = (self._a, self._b) if self._ranks else (mx.zeros_like(a), mx.zeros_like(b))
        rank = max(a.shape[-1], others[0].shape[-1])
        a = mx.concatenate([_wide(one, -1, rank) for one in (others[0], a)])
        b = mx.concatenate([_wide(one, -2, rank) for one in (others[1], b)])
        gain = self._gain_with(entry.gain, b.shape[-1])
        mx.eval(a, b, gain)
        self._a, self._b, self._gain = a, b, gain
        self._ranks.append(entry.a.shape[-1])
        self._gains.append(entry.gain is not None)
        self.index = _placed(self.index, slot, len(self._ranks))

    def _gain_with(self, gain: mx.array | None, outputs: int) -> mx.array:
        """Returns the gains with that of one more, where any has one."""
        if gain is None and not any(self._gains):
            return mx.zeros((1, outputs), self._dtype)
        before = self._gain if any(self._gains) else mx.zeros((len(self._ranks) + 1, outputs), self._dtype)
        return mx.concatenate([before, mx.zeros((1, outputs), self._dtype) if gain is None else gain[None]])

    def take_out(self, slot: int) -> None:
        place = self.index[slot] if slot < len(self.index) else 0
        if not place:
            return
        ranks, gains = _others(self._ranks, place), _others(self._gains, place)
        a = b = gain = mx.zeros((0,))
        if ranks:
            a = _copied(_less(self._a, place)[..., : max(ranks)])
            b = _copied(_less(self._b, place)[:, : max(ranks)])
            gain = _copied(_less(self._gain, place)) if any(gains) else mx.zeros((1, self._b.shape[-1]), self._dtype)
            mx.eval(a, b, gain)
        self._a, self._b, self._gain, self._ranks, self._gains = a, b, gain, ranks, gains
        self.index = _without(self.index, slot, place)

    @property
    def nbytes(self) -> int:
        gains = self._gain.nbytes if any(self._gains) else 0
        return self._a.nbytes + self._b.nbytes + gains if self._ranks else 0

    def add(self, x: mx.array, y: mx.array, bias: mx.array | None) -> mx.array:
        """Returns ``y``, the layer's own output for ``x`` ``[..., inputs]``, with what adapters add to it. Raises ``UnknownRowsError``."""
        rows = self._present.rows(self.index, is_head=self._is_head)
        if rows is None:
            return y
        flat, leading = x.reshape(-1, x.shape[-1]), x.shape[:-1]
        if rows.only is not None:
            added = ((flat @ self._a[rows.only]) @ self._b[rows.only]).reshape(*leading, -1)
            gain = self._gain[rows.only] if any(self._gains) else None
        else:
            rows = _matching(rows, x)
            added = self._product(flat, rows).reshape(*leading, -1)
            gain = self._gain[rows.places].reshape(*leading, -1) if any(self._gains) else None
        if gain is not None:
            added += gain * (y if bias is None else y - bias)
        return y + added.astype(y.dtype)

    def _product(self, x: mx.array, rows: Rows) -> mx.array:
        parts = [self._part(x[one.start : one.stop], rows, one) for one in rows.segments]
        return parts[0] if len(parts) == 1 else mx.concatenate(parts)

    def _part(self, x: mx.array, rows: Rows, segment: Segment) -> mx.array:
        if segment.place is None:
            places = rows.places[segment.start : segment.stop]
            narrow = mx.gather_mm(x[:, None], self._a, rhs_indices=places)
            return mx.gather_mm(narrow, self._b, rhs_indices=places)[:, 0]
        if segment.place == 0:
            return mx.zeros((x.shape[0], self._b.shape[-1]), self._b.dtype)
        return (x @ self._a[segment.place]) @ self._b[segment.place]


class ExpertStack(LayerStack):
    """The stacks of a layer of experts: A ``[adapters * experts, inputs, rank]``, B ``[adapters * experts, rank, outputs]``. There is no
    place 0: what rows without an adapter are given is not added.
    """

    def __init__(self, present: PresentSlots, dtype: mx.Dtype, experts: int) -> None:
        self.index: Index = ()
        self._present = present
        self._dtype = dtype
        self._experts = experts
        self._ranks: list[int] = []
        self._a = self._b = mx.zeros((0,))

    def put(self, slot: int, entry: Entry) -> None:
        """Adds an adapter behind the others."""
        entry = entry.kept_in(self._dtype)
        a, b = entry.a, entry.b
        rank = max([a.shape[-1], *self._ranks])
        before = [(self._a, self._b)] if self._ranks else []
        a = mx.concatenate([_wide(one, -1, rank) for one in (*(pair[0] for pair in before), a)])
        b = mx.concatenate([_wide(one, -2, rank) for one in (*(pair[1] for pair in before), b)])
        mx.eval(a, b)
        self._a, self._b = a, b
        self._ranks.append(entry.a.shape[-1])
        self.index = _placed(self.index, slot, len(self._ranks))

    def take_out(self, slot: int) -> None:
        place = self.index[slot] if slot < len(self.index) else 0
        if not place:
            return
        ranks, first = _others(self._ranks, place), (place - 1) * self._experts
        a = b = mx.zeros((0,))
        if ranks:
            a = _copied(_less(self._a, first, self._experts)[..., : max(ranks)])
            b = _copied(_less(self._b, first, self._experts)[:, : max(ranks)])
            mx.eval(a, b)
        self._a, self._b, self._ranks = a, b, ranks
        self.index = _without(self.index, slot, place)

    @property
    def nbytes(self) -> int:
        return self._a.nbytes + self._b.nbytes if self._ranks else 0

    def add(self, x: mx.array, y: mx.array, experts: mx.array, *, are_sorted: bool) -> mx.array:
        """Returns ``y``, the layer's own output, with what adapters add to it. ``experts`` say which one each input of ``x`` is given to:
        ``[..., k]`` for rows as they are, ``[rows * k]`` where they are sorted. Raises ``UnknownRowsError``.
        """
        rows = self._present.rows(self.index)
        if rows is None:
            return y
        places = _of_inputs(rows, experts, self._present.sorted_rows if are_sorted else None)
        at = mx.maximum(places - 1, 0) * self._experts + experts.astype(mx.int32)
        added = mx.gather_mm(mx.gather_mm(x, self._a, rhs_indices=at), self._b, rhs_indices=at)
        if rows.some_without:
            added = mx.where((places > 0)[..., None, None], added, 0)
        return y + added.astype(y.dtype)


def _of_inputs(rows: Rows, experts: mx.array, sorted_rows: mx.array | None) -> mx.array:
    """Returns the places of the rows that experts are given, in the shape of ``experts``."""
    if sorted_rows is not None:
        return rows.places[sorted_rows]
    if experts.size != rows.count * experts.shape[-1]:
        raise UnknownRowsError(f"experts are given {experts.size // experts.shape[-1]} rows, and the call has {rows.count}")
    return mx.broadcast_to(rows.places.reshape(*experts.shape[:-1], 1), experts.shape)


def _matching(rows: Rows, x: mx.array) -> Rows:
    """Returns the rows that ``x`` has: those of the call, or each of them several times, as heads for example."""
    found = x.size // x.shape[-1]
    if found != rows.count and (found % rows.count or x.shape[0] != rows.count):
        raise UnknownRowsError(f"a layer is given {list(x.shape[:-1])} rows, and the call has {rows.count}")
    return rows.repeated(found // rows.count)


def _wide(array: mx.array, axis: int, size: int) -> mx.array:
    """Returns an array with zeros at the end of an axis."""
    missing = size - array.shape[axis]
    if not missing:
        return array
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, missing)
    return mx.pad(array, widths)


def _others(items: list[T], place: int) -> list[T]:
    """Returns what there is of all places but one."""
    return items[: place - 1] + items[place:]


def _less(array: mx.array, first: int, count: int = 1) -> mx.array:
    """Returns an array without ``count`` entries of its first axis."""
    return mx.concatenate([array[:first], array[first + count :]])


def _copied(array: mx.array) -> mx.array:
    return mx.contiguous(array)


def _placed(index: Index, slot: int, place: int) -> Index:
    longer = [*index, *[0] * (slot + 1 - len(index))]
    longer[slot] = place
    return tuple(longer)


def _without(index: Index, slot: int, place: int) -> Index:
    kept = [0 if at == slot else one - (one > place) for at, one in enumerate(index)]
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept)
