"""Where keys and values live as they are: per layer, one pair of tensors for each arena of blocks."""

from collections.abc import Iterator, Mapping, Sequence

import mlx.core as mx
from typing_extensions import override

from mlxd.worker.runtime.paged.key_value_store import KeyValueStore
from mlxd.worker.runtime.paged.slots import Copy, Pick, Scatter, Slots, Span


class Arenas(KeyValueStore):
    """The plain store: tensors ``[1, kv_heads, slots + 1, head_dim]`` for each arena, made when it is first written, of the type of what is
    written. The leading axis is the batch that attention expects; the last slot is spare.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._keys: dict[int, mx.array] = {}
        self._values: dict[int, mx.array] = {}

    @override
    def write(self, writes: Sequence[Span | Scatter], keys: mx.array, values: mx.array) -> None:
        """MLX donates the buffer while nothing else holds it: no reference to these tensors or their slices may outlive a step."""
        for tensors, batch in ((self._keys, keys), (self._values, values)):
            flat = None
            for where in writes:
                self._make(tensors, where.arena, batch)
                if isinstance(where, Scatter):
                    tensors[where.arena] = _scattered(where, batch, tensors.pop(where.arena))
                else:
                    flat = _flat(batch) if flat is None else flat
                    whole = where.count == flat.shape[2]
                    tensors[where.arena][:, :, where.start : where.start + where.count] = (
                        flat if whole else flat[:, :, where.first : where.first + where.count]
                    )

    @override
    def scores(self, queries: mx.array, where: Sequence[Slots]) -> mx.array:
        """Widens the operands first: a product of half-precision operands is rounded to their type, which moves a score of 20 by up to 0.06
        in bfloat16, and its weight by as many parts of one.
        """
        return queries.astype(mx.float32) @ _read(self._keys, where).astype(mx.float32).swapaxes(-1, -2)

    @override
    def mix(self, weights: mx.array, where: Sequence[Slots]) -> mx.array:
        values = _read(self._values, where)
        return weights.astype(values.dtype) @ values

    @override
    def fused(
        self, queries: mx.array, where: Sequence[Slots], *, scale: float, mask: str | mx.array | None, sinks: mx.array | None
    ) -> mx.array:
        """Calls MLX's kernel, which takes slices as they are where there is one query of one row."""
        keys, values = _read(self._keys, where), _read(self._values, where)
        found: mx.array = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask, sinks=sinks)
        return found

    @override
    def take(self, pick: Pick) -> tuple[mx.array, mx.array]:
        return _picked(self._keys, pick), _picked(self._values, pick)

    @override
    def arena(self, arena: int) -> tuple[mx.array, mx.array]:
        return self._keys[arena].squeeze(0), self._values[arena].squeeze(0)

    @override
    def read(self, where: Slots) -> tuple[mx.array, mx.array]:
        return _read(self._keys, [where]), _read(self._values, [where])

    @override
    def holds(self, where: Slots) -> bool:
        return where.arena in self._keys

    @override
    def copy(self, copy: Copy) -> None:
        """Evaluates what is copied first, apart from the arena (adding nothing is a copy; ``contiguous`` may not be one): a buffer is not
        updated in place while a slice of it waits to be written into it, and MLX would copy the whole arena.
        """
        for tensors in (self._keys, self._values):
            if not tensors:
                continue
            like = next(iter(tensors.values()))
            for slots in (*copy.sources, *copy.targets):
                self._make(tensors, slots.arena, like)
            moved, start = _read(tensors, copy.sources) + 0, 0
            mx.eval(moved)
            for slots in copy.targets:
                tensors[slots.arena][:, :, slots.start : slots.stop] = moved[:, :, start : start + len(slots)]
                start += len(slots)
            mx.eval([tensors[slots.arena] for slots in copy.targets])  # what is copied of one layer is let go before the next one's

    @override
    def lend(self, arenas: Sequence[int]) -> list[mx.array]:
        lent = []
        for tensors in (self._keys, self._values):
            like = next(iter(tensors.values()))
            for arena in arenas:
                self._make(tensors, arena, like)
            lent += [tensors.pop(arena) for arena in arenas]
        return lent

    @override
    def give_back(self, arenas: Sequence[int], tensors: Iterator[mx.array]) -> None:
        for owned in (self._keys, self._values):
            owned.update((arena, next(tensors)) for arena in arenas)

    @override
    def keep(self, arenas: frozenset[int]) -> None:
        for gone in self._keys.keys() - arenas:
            del self._keys[gone], self._values[gone]

    @override
    def tensors(self) -> list[mx.array]:
        return [*self._keys.values(), *self._values.values()]

    @property
    @override
    def kv_heads(self) -> int:
        return next(iter(self._keys.values())).shape[1]

    @property
    @override
    def dtype(self) -> mx.Dtype:
        return next(iter(self._values.values())).dtype

    @property
    @override
    def count(self) -> int:
        return len(self._keys)

    @property
    @override
    def nbytes(self) -> int:
        if not self._keys:
            return 0
        arena = next(iter(self._keys))  # all are of one size
        return len(self._keys) * (self._keys[arena].nbytes + self._values[arena].nbytes)

    @property
    @override
    def token_bytes(self) -> int:
        return self.nbytes // (self.count * (self._slots + 1)) if self._keys else 0

    def _make(self, tensors: dict[int, mx.array], arena: int, like: mx.array) -> None:
        """Makes sure that the arena is there, for vectors as those of ``like`` ``[B, kv_heads, n, head_dim]``."""
        if arena not in tensors:
            tensors[arena] = mx.zeros((1, like.shape[1], self._slots + 1, like.shape[3]), like.dtype)


def _read(tensors: Mapping[int, mx.array], where: Sequence[Slots]) -> mx.array:
    """Returns ``[1, kv_heads, slots, head_dim]``: one run as it lies in its arena, a view; several are copied together."""
    slices = [tensors[slots.arena][:, :, slots.start : slots.stop] for slots in where]
    return slices[0] if len(slices) == 1 else mx.concatenate(slices, axis=2)


def _picked(tensors: Mapping[int, mx.array], pick: Pick) -> mx.array:
    """Copies by one index into a table of vectors: along an inner axis it takes MLX ten times as long on a CPU."""
    tensor = tensors[pick.arena]
    _, heads, slots, _ = tensor.shape
    return mx.flatten(tensor, 0, 2)[pick.index(heads, slots)]


def _flat(batch: mx.array) -> mx.array:
    """Turns ``[B, kv_heads, n, head_dim]`` into ``[1, kv_heads, T, head_dim]``."""
    rows, heads, length, dim = batch.shape
    return batch if rows == 1 else batch.swapaxes(0, 1).reshape(1, heads, rows * length, dim)


def _scattered(where: Scatter, batch: mx.array, tensor: mx.array) -> mx.array:
    """Writes by one index into a table of vectors: to scatter along an inner axis takes MLX five times as long on a CPU."""
    shape = tensor.shape
    table = mx.flatten(tensor, 0, 2)
    table[where.index(shape[1], shape[2])] = where.taken(batch)
    return table.reshape(shape)
