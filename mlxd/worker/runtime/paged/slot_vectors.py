"""Vectors of one kind by slot, in tensors of arenas: what every store of keys and values is made of."""

from collections.abc import Iterator, Mapping, Sequence

import mlx.core as mx

from mlxd.worker.runtime.paged.slots import Copy, Pick, Scatter, Slots, Span


class SlotVectors:
    """Tensors ``[1, kv_heads, slots + 1, width]``, one for each arena, made when it is first written, of the type of what is written. Their
    leading axis is the batch that attention expects; the last slot is spare. An arena has ``slots`` while nothing else is told.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._sizes: Mapping[int, int] = {}  # as told
        self._tensors: dict[int, mx.array] = {}

    def write(self, writes: Sequence[Span | Scatter], batch: mx.array) -> None:
        """Stores tokens of ``batch`` ``[B, kv_heads, n, width]`` in place.

        MLX donates the buffer while nothing else holds it: no reference to these tensors or their slices may outlive a step.
        """
        flat, tensors = None, self._tensors
        for where in writes:
            self._make(where.arena, batch)
            if isinstance(where, Scatter):
                tensors[where.arena] = _scattered(where, batch, tensors.pop(where.arena))
            else:
                flat = _flat(batch) if flat is None else flat
                whole = where.count == flat.shape[2]
                tensors[where.arena][:, :, where.start : where.start + where.count] = (
                    flat if whole else flat[:, :, where.first : where.first + where.count]
                )

    def read(self, where: Sequence[Slots]) -> mx.array:
        """Returns ``[1, kv_heads, slots, width]``: one run as it lies in its arena, a view; several are copied together."""
        return _read(self._tensors, where)

    def take(self, pick: Pick) -> mx.array:
        """Returns copies ``[B, kv_heads, L, width]``. It copies by one index into a table of vectors: along an inner axis it takes MLX ten
        times as long on a CPU.
        """
        tensor = self._tensors[pick.arena]
        _, heads, slots, _ = tensor.shape
        return mx.flatten(tensor, 0, 2)[pick.index(heads, slots)]

    def arena(self, arena: int) -> mx.array:
        """Returns a view of all that an arena holds, ``[kv_heads, slots, width]``."""
        return self._tensors[arena].squeeze(0)

    def copy(self, copy: Copy) -> None:
        """Copies in place, and waits for the device.

        It evaluates what is copied first, apart from the arena (adding nothing is a copy; ``contiguous`` may not be one): a buffer is not
        updated in place while a slice of it waits to be written into it, and MLX would copy the whole arena.
        """
        if not self._tensors:
            return
        tensors, like = self._tensors, self._any
        for slots in (*copy.sources, *copy.targets):
            self._make(slots.arena, like)
        moved, start = _read(tensors, copy.sources) + 0, 0
        mx.eval(moved)
        for slots in copy.targets:
            tensors[slots.arena][:, :, slots.start : slots.stop] = moved[:, :, start : start + len(slots)]
            start += len(slots)
        mx.eval([tensors[slots.arena] for slots in copy.targets])  # what is copied of one layer is let go before the next one's

    def lend(self, arenas: Sequence[int]) -> list[mx.array]:
        """Returns the tensors of ``arenas``, which are not here until they are given back. Those that are not there are made."""
        like = self._any
        for arena in arenas:
            self._make(arena, like)
        return [self._tensors.pop(arena) for arena in arenas]

    def give_back(self, arenas: Sequence[int], tensors: Iterator[mx.array]) -> None:
        """Takes back what was lent of ``arenas``, in the same order, from ``tensors``."""
        self._tensors.update((arena, next(tensors)) for arena in arenas)

    def keep(self, arenas: Mapping[int, int]) -> bool:
        """Makes arenas as large as it is told, in slots, and gives back those that are not named; returns whether any changed."""
        self._sizes = arenas
        gone = self._tensors.keys() - arenas.keys()
        for arena in gone:
            del self._tensors[arena]
        resized = [arena for arena, tensor in self._tensors.items() if tensor.shape[2] != arenas[arena] + 1]
        for arena in resized:
            self._tensors[arena] = _resized(self._tensors.pop(arena), arenas[arena])
            mx.eval(self._tensors[arena])  # and what it was before is let go, before the next one is begun
        return bool(gone or resized)

    def holds(self, arena: int) -> bool:
        """Tells whether anything was ever written to an arena."""
        return arena in self._tensors

    def tensors(self) -> list[mx.array]:
        """Returns all there are."""
        return list(self._tensors.values())

    @property
    def kv_heads(self) -> int:
        """Returns the number of heads of what was written."""
        return self._any.shape[1]

    @property
    def dtype(self) -> mx.Dtype:
        """Returns the type of what was written."""
        return self._any.dtype

    @property
    def count(self) -> int:
        """Returns how many arenas are allocated."""
        return len(self._tensors)

    @property
    def nbytes(self) -> int:
        """Returns how many bytes are allocated."""
        return sum(tensor.nbytes for tensor in self._tensors.values())

    @property
    def slot_bytes(self) -> int:
        """Returns the bytes of one slot; 0 before anything was written."""
        if not self._tensors:
            return 0
        tensor = self._any
        return tensor.shape[1] * tensor.shape[3] * tensor.dtype.size

    @property
    def _any(self) -> mx.array:
        return next(iter(self._tensors.values()))

    def _make(self, arena: int, like: mx.array) -> None:
        """Makes sure that the arena is there, for vectors as those of ``like`` ``[B, kv_heads, n, width]``."""
        if arena not in self._tensors:
            slots = self._sizes.get(arena, self._slots)
            self._tensors[arena] = mx.zeros((1, like.shape[1], slots + 1, like.shape[3]), like.dtype)


def _resized(tensor: mx.array, slots: int) -> mx.array:
    """Returns the first ``slots`` of an arena, or all of them and empty ones behind; and a spare one."""
    kept = tensor[:, :, : min(slots, tensor.shape[2] - 1)]
    _, heads, there, width = kept.shape
    return mx.concatenate([kept, mx.zeros((1, heads, slots + 1 - there, width), kept.dtype)], axis=2)


def _read(tensors: Mapping[int, mx.array], where: Sequence[Slots]) -> mx.array:
    slices = [tensors[slots.arena][:, :, slots.start : slots.stop] for slots in where]
    return slices[0] if len(slices) == 1 else mx.concatenate(slices, axis=2)


def _flat(batch: mx.array) -> mx.array:
    """Turns ``[B, kv_heads, n, width]`` into ``[1, kv_heads, T, width]``."""
    rows, heads, length, width = batch.shape
    return batch if rows == 1 else batch.swapaxes(0, 1).reshape(1, heads, rows * length, width)


def _scattered(where: Scatter, batch: mx.array, tensor: mx.array) -> mx.array:
    """Writes by one index into a table of vectors: to scatter along an inner axis takes MLX five times as long on a CPU."""
    shape = tensor.shape
    table = mx.flatten(tensor, 0, 2)
    table[where.index(shape[1], shape[2])] = where.taken(batch)
    return table.reshape(shape)
