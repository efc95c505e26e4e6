"""Attention of decode rows, by two kernels at most: one over the blocks, and one that joins splits of long contexts.

Compiles and is right on a CPU, lane by lane; whether it is on a device has to be proved there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self

import mlx.core as mx

from mlxd.worker.runtime.paged.attention.decode_rows import Segment
from mlxd.worker.runtime.paged.attention.kernel.language import Language, NoKernelError, language_of_device
from mlxd.worker.runtime.paged.attention.kernel.tiling import Tiling, tiling
from mlxd.worker.runtime.paged.key_value_store import StoredVectors

_TYPES = (mx.float32, mx.float16, mx.bfloat16)
_LOWEST = -3.4e38


@dataclass(frozen=True)
class Attended:
    """The attention over a segment: ``output`` ``[B, heads, value_dim]``, and ``total`` ``[B, heads]``, the log-sum-exp of the scores.

    Both are float32. A row that sees nothing has an output of 0 and a total of minus infinity.
    """

    output: mx.array
    total: mx.array

    def merged(self, other: "Attended") -> "Attended":
        """Returns the attention over both segments, of which a row may see nothing in either."""
        total = mx.logaddexp(self.total, other.total)
        reached = mx.maximum(total, _LOWEST)  # minus infinity less itself would be no number
        mine, its = (mx.exp(one.total - reached)[..., None] for one in (self, other))
        return Attended(mine * self.output + its * other.output, total)

    def with_sinks(self, sinks: mx.array) -> mx.array:
        """Returns the output once attention sinks ``[heads]`` have joined the denominator, with no value (gpt-oss)."""
        return self.output * mx.sigmoid(self.total - sinks.astype(mx.float32))[..., None]


@dataclass(frozen=True)
class DecodeKernel:
    """The kernels in the language of a device, for blocks of ``block_size`` tokens. They are compiled when a call of other types or head
    sizes is first evaluated (on Metal also where an input has less than eight elements, and had more).
    """

    language: Language
    block_size: int
    tiled: Callable[[int, int, int, int], Tiling] = tiling
    _scales: dict[float, mx.array] = field(default_factory=dict)

    def __call__(self, queries: mx.array, keys: StoredVectors, values: StoredVectors, seen: Segment, scale: float) -> Attended:
        """Attends with ``queries`` ``[B, heads, dim]`` to what each row has ``seen`` of ``keys`` and ``values``, which are stored alike.

        Raises ``NoKernelError`` for types and sizes that the kernel does not take. What the device's compiler says, ``mx.eval`` raises.
        """
        rows, heads, dim = queries.shape
        kv_heads, _, value_dim = values.elements.shape
        group = heads // kv_heads
        tiles = self.tiled(group, dim, value_dim, seen.table.shape[1] * self.block_size)
        sizes = {
            "HEADS": group,
            "TILE": tiles.tile,
            "DIM": dim,
            "VALUE_DIM": value_dim,
            "BLOCK": self.block_size,
            "SIMDS": tiles.simdgroups,
        }
        lanes = 32 * tiles.simdgroups
        split = () if tiles.splits == 1 else (tiles.splits,)
        reading = _Reading.of(queries, keys, values)
        output, total = _attend(self.language, reading.words, tuple(reading.arrays))(
            inputs=[queries, *reading.arrays.values(), seen.table, seen.first, seen.stop, self._scale(scale)],
            template=[("T", queries.dtype), *sizes.items(), *reading.sizes],
            grid=(rows * lanes, kv_heads * -(-group // tiles.tile), tiles.splits),
            threadgroup=(lanes, 1, 1),
            output_shapes=[(*split, rows, heads, value_dim), (*split, rows, heads)],
            output_dtypes=[mx.float32, mx.float32],
        )
        return Attended(output, total) if tiles.splits == 1 else self._merged(output, total)

    def _merged(self, outputs: mx.array, totals: mx.array) -> Attended:
        _, rows, heads, value_dim = outputs.shape
        output, total = _merge(self.language)(
            inputs=[outputs, totals],
            grid=(-(-value_dim // 32) * 32, rows * heads, 1),
            threadgroup=(min(-(-value_dim // 32) * 32, 128), 1, 1),
            output_shapes=[(rows, heads, value_dim), (rows, heads)],
            output_dtypes=[mx.float32, mx.float32],
        )
        return Attended(output, total)

    def _scale(self, scale: float) -> mx.array:
        """Returns an array, which is how a kernel takes a number that is no whole one."""
        if scale not in self._scales:
            self._scales[scale] = mx.array([scale], mx.float32)
        return self._scales[scale]


def decode_kernel(block_size: int) -> DecodeKernel:
    """Returns the kernels for this device. Raises ``NoKernelError`` with the reason where there are none."""
    return DecodeKernel(language_of_device(), block_size)


@dataclass(frozen=True)
class _Reading:
    """What the kernel reads keys and values from: ``words`` is the file that says how, ``arrays`` are what it finds by these names."""

    words: str
    arrays: dict[str, mx.array]
    sizes: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, queries: mx.array, keys: StoredVectors, values: StoredVectors) -> Self:
        arrays = {"keys": keys.elements, "values": values.elements}
        if keys.params is None or values.params is None:
            _check_types(queries, *arrays.values())
            return cls("floats", arrays)
        _check_types(queries)
        group = 2 * keys.elements.shape[-1] // keys.params.shape[-1]
        return cls("levels", arrays | {"key_params": keys.params, "value_params": values.params}, (("GROUP", group),))


def _check_types(*arrays: mx.array) -> None:
    types = {array.dtype for array in arrays}
    if len(types) > 1 or not types <= set(_TYPES):
        raise NoKernelError(f"queries, keys and values of {', '.join(sorted(map(str, types)))}: the kernel takes one type of floats")


@cache
def _attend(language: Language, words: str, names: tuple[str, ...]) -> Any:
    return language.kernel("attend", ["queries", *names, "table", "first", "stop", "scale"], ["output", "total"], words)


@cache
def _merge(language: Language) -> Any:
    return language.kernel("merge", ["outputs", "totals"], ["output", "total"])
