"""The bytes of a block as they go to disk and come back: of every layer whatever its store has of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from mlxd.worker.runtime.paged.key_value_store import KeyValueStore
from mlxd.worker.runtime.paged.slots import Geometry, Slots

Bytes = npt.NDArray[np.uint8]
Stores = Sequence[KeyValueStore]

_ARENAS = 256  # in which a proof may have left something
_WORDS = {1: mx.uint8, 2: mx.uint16, 4: mx.uint32}  # by size: what numpy has no type for it copies as integers
_EXPONENTS = {mx.float32: 0x7F800000, mx.float16: 0x7C00, mx.bfloat16: 0x7F80}  # all of these bits are set in what is no number


@dataclass(frozen=True)
class _Vectors:
    """What one part of a layer's store has for a slot: ``width`` elements for each of ``heads``."""

    heads: int
    width: int
    dtype: mx.Dtype

    @property
    def size(self) -> int:
        return self.heads * self.width * self.dtype.size


@dataclass(frozen=True)
class _Place:
    """A part of a layer's store: what it reads at ``part``."""

    layer: int
    part: int


@dataclass(frozen=True)
class _Alike:
    """Parts of equal vectors, which lie one after the other in a payload, from ``offset`` on: ``[parts, heads, block_size, width]``."""

    vectors: _Vectors
    places: tuple[_Place, ...]
    offset: int
    block_size: int

    @property
    def span(self) -> slice:
        """Returns where they are in a payload."""
        return slice(self.offset, self.offset + len(self.places) * self.block_size * self.vectors.size)

    @property
    def words(self) -> str:
        """Returns numpy's name of integers as wide as an element."""
        return f"u{self.vectors.dtype.size}"

    def split(self, payloads: Bytes) -> npt.NDArray[np.unsignedinteger]:
        """Returns a view ``[n, parts, heads, block_size, width]`` of payloads ``[n, block_bytes]``."""
        words = payloads[:, self.span].view(self.words)
        return words.reshape(len(payloads), len(self.places), self.vectors.heads, self.block_size, self.vectors.width)

    def copy_out(self, payloads: Bytes, read: Sequence[tuple[mx.array, ...]]) -> None:
        """Copies what the layers ``read`` of so many blocks, one after the other."""
        by_part, blocks = self.split(payloads), len(payloads)
        for at, place in enumerate(self.places):
            held = np.asarray(read[place.layer][place.part].view(_WORDS[self.vectors.dtype.size]))
            by_part[:, at] = held.reshape(self.vectors.heads, blocks, self.block_size, self.vectors.width).swapaxes(0, 1)

    def together(self, payloads: Sequence[Bytes]) -> mx.array:
        """Returns the parts of all payloads, one after the other, as stores keep them: ``[parts, 1, heads, slots, width]``."""
        parts, vectors = len(self.places), self.vectors
        words = np.empty((parts, 1, vectors.heads, len(payloads), self.block_size, vectors.width), self.words)
        for at, payload in enumerate(payloads):
            words[:, 0, :, at] = self.split(payload[None])[0]
        slots = len(payloads) * self.block_size
        return mx.array(words.reshape(parts, 1, vectors.heads, slots, vectors.width)).view(vectors.dtype)

    def finite(self, payloads: Bytes) -> npt.NDArray[np.bool_]:
        """Tells of each payload whether all its floats are numbers: ``[n]``."""
        exponent = _EXPONENTS.get(self.vectors.dtype)
        if exponent is None:
            return np.ones(len(payloads), np.bool_)
        words = payloads[:, self.span].view(self.words)
        bad: npt.NDArray[np.bool_] = ((words & exponent) == exponent).any(axis=1)
        return ~bad


class BlockPayloads:
    """The way from blocks in the stores of a model's layers to payloads of ``block_bytes``, and back. Something must have been written into
    each store: the shapes of that are taken for those of everything to come.
    """

    def __init__(self, stores: Stores, geometry: Geometry) -> None:
        self._alike = tuple(_alike(stores, geometry))
        self.block_bytes = self._alike[-1].span.stop if self._alike else 0

    @staticmethod
    def are_told_by(stores: Stores, geometry: Geometry) -> bool:
        """Tells whether something was written into each store."""
        return bool(stores) and all(_written(store, geometry) is not None for store in stores)

    @property
    def layout(self) -> str:
        """Returns what the bytes of a payload mean, in words: a payload of another layout is of no use."""
        told = (f"{len(one.places)} x {one.vectors.heads} x {one.vectors.width} {one.vectors.dtype}" for one in self._alike)
        return ", ".join(told)

    def copy_out(self, blocks: Sequence[int], stores: Stores, geometry: Geometry) -> list[Bytes | None]:
        """Returns a copy of each block in the host's memory, but None of one that holds what is no number. It waits for the device."""
        return [copy for run in geometry.addresses.ranges(blocks) for copy in self._run_out(run, stores, geometry)]

    def copy_in(self, blocks: Sequence[int], payloads: Sequence[memoryview], stores: Stores, geometry: Geometry) -> None:
        """Writes payloads into blocks, and waits for the device. Raises ``ValueError`` for payloads of another size."""
        if any(payload.nbytes != self.block_bytes for payload in payloads):
            raise ValueError(f"a block has {self.block_bytes} bytes, not {[payload.nbytes for payload in payloads]}")
        rows, start = [np.frombuffer(payload, np.uint8) for payload in payloads], 0
        for run in geometry.addresses.ranges(blocks):
            self._run_in(run, rows[start : start + len(run)], stores, geometry)
            start += len(run)

    def _run_out(self, run: range, stores: Stores, geometry: Geometry) -> Iterator[Bytes | None]:
        read = [store.read(geometry.run(run)) for store in stores]
        copies = np.empty((len(run), self.block_bytes), np.uint8)
        good = np.ones(len(run), np.bool_)
        for alike in self._alike:
            alike.copy_out(copies, read)
            good &= alike.finite(copies)
        return (copy if is_good else None for copy, is_good in zip(copies, good, strict=True))

    def _run_in(self, run: range, rows: Sequence[Bytes], stores: Stores, geometry: Geometry) -> None:
        where, parts = geometry.run(run), dict[_Place, mx.array]()
        for alike in self._alike:
            parts.update(zip(alike.places, alike.together(rows), strict=True))
        for layer, store in enumerate(stores):
            store.restore(where, [parts[place] for place in sorted(parts, key=_in_order) if place.layer == layer])
        mx.eval([tensor for store in stores for tensor in store.tensors()])


def _written(store: KeyValueStore, geometry: Geometry) -> Slots | None:
    """Returns the slots of a block in an arena that the store has."""
    arenas = (geometry.slots(geometry.addresses.blocks(arena).start) for arena in range(_ARENAS))
    return next((slots for slots in arenas if store.holds(slots)), None)


def _in_order(place: _Place) -> tuple[int, int]:
    return place.layer, place.part


def _alike(stores: Stores, geometry: Geometry) -> Iterator[_Alike]:
    """Yields the parts of all stores, those of equal vectors together, in the order of the first of each."""
    places: dict[_Vectors, list[_Place]] = {}
    for layer, store in enumerate(stores):
        written = _written(store, geometry)
        for part, tensor in enumerate(store.read(written) if written else ()):
            _, heads, _, width = tensor.shape
            places.setdefault(_Vectors(heads, width, tensor.dtype), []).append(_Place(layer, part))
    offset = 0
    for vectors, found in places.items():
        alike = _Alike(vectors, tuple(found), offset, geometry.block_size)
        yield alike
        offset = alike.span.stop
