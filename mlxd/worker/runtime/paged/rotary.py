"""Rotary embeddings on a CPU (RoFormer, Su et al., 2021), where MLX composes them of two dozen operations: they compute the angles anew for
the queries and for the keys of each layer.

The rows of a step stand at the same positions in all layers, so their angles are computed once a step, and to rotate takes three or six
operations. The values are the same to the bit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.rope_utils import Llama3RoPE

from mlxd.worker.runtime.paged.layer_cache import Step


@dataclass(frozen=True)
class Frequencies:
    """What a rotary embedding rotates by: pairs of neighbours where it is ``traditional``, else the first half with the second.
    ``inverse`` are radians a position, ``[dims / 2]``.
    """

    inverse: tuple[float, ...]
    scale: float
    traditional: bool

    @classmethod
    def of(cls, rope: nn.Module) -> "Frequencies | None":
        """Returns those of mlx-lm's module; None of one that is not known here."""
        if type(rope) is nn.RoPE:
            half = rope.dims // 2
            inverse = mx.exp(mx.arange(half, dtype=mx.float32) * (-math.log(rope.base) / half))
            return cls(_floats(inverse), rope.scale, rope.traditional)
        if type(rope) is Llama3RoPE:
            return cls(_floats(mx.reciprocal(rope._freqs)), 1.0, rope.traditional)  # noqa: SLF001 - nothing else has them
        return None

    def angles(self, offset: mx.array, length: int) -> "Angles":
        """Returns the angles of ``length`` positions from each of ``offset`` ``[B]`` on."""
        positions = mx.arange(length, dtype=mx.float32) + offset[:, None, None].astype(mx.float32)  # [B, 1, n]
        positions = positions if self.scale == 1.0 else positions * self.scale
        theta = positions[..., None] * mx.array(self.inverse)
        cosines, sines = mx.cos(theta), mx.sin(theta)
        if self.traditional:
            pairs = mx.stack([cosines, sines], axis=-1).flatten(-2)
            return Pairs(pairs.view(mx.complex64))
        return Halves(mx.concatenate([cosines, cosines], axis=-1), mx.concatenate([-sines, sines], axis=-1))


@dataclass(frozen=True)
class Pairs:
    """The rotation of neighbours, as of complex numbers ``[B, 1, n, dims / 2]``."""

    turns: mx.array

    def rotated(self, x: mx.array) -> mx.array:
        """Rotates ``[B, heads, n, dims]``."""
        return (x.view(mx.complex64) * self.turns).view(mx.float32)


@dataclass(frozen=True)
class Halves:
    """The rotation of one half with the other, ``[B, 1, n, dims]`` each."""

    cosines: mx.array
    sines: mx.array  # negative for the first half

    def rotated(self, x: mx.array) -> mx.array:
        """Rotates ``[B, heads, n, dims]``."""
        first, second = mx.split(x, 2, axis=-1)
        return x * self.cosines + mx.concatenate([second, first], axis=-1) * self.sines


Angles = Pairs | Halves


class SharedRotations:
    """The rotary embeddings of a model that share their angles within a step."""

    def __init__(self, model: nn.Module, step: Step) -> None:
        self._step = step
        self._offset: mx.array | None = None  # of the angles that are known
        self._angles: dict[tuple[Frequencies, int], Angles] = {}
        self._kinds: list[tuple[nn.Module, type]] = []
        known: dict[Frequencies, type] = {}
        for rope in model.modules():
            frequencies = Frequencies.of(rope)
            if frequencies is not None:
                self._kinds.append((rope, type(rope)))
                rope.__class__ = known.setdefault(frequencies, _sharing(type(rope), frequencies, self))

    def remove(self) -> None:
        """Leaves the model as it was."""
        for rope, kind in self._kinds:
            rope.__class__ = kind
        self._kinds.clear()

    def angles(self, frequencies: Frequencies, x: mx.array, offset: object) -> Angles | None:
        """Returns the angles for ``x`` ``[B, heads, n, dims]``, if its rows are those of the step."""
        if not isinstance(offset, mx.array) or not self._step.is_at(offset):
            return None
        if x.dtype != mx.float32 or x.shape[-1] != 2 * len(frequencies.inverse):
            return None
        if self._offset is not offset:
            self._offset, self._angles = offset, {}
        key = frequencies, x.shape[2]
        if key not in self._angles:
            self._angles[key] = frequencies.angles(offset, x.shape[2])
        return self._angles[key]


def _floats(array: mx.array) -> tuple[float, ...]:
    found: list[float] = array.tolist()  # type: ignore[assignment]  # of one axis
    return tuple(found)


def _sharing(kind: type, frequencies: Frequencies, rotations: SharedRotations) -> type:
    """Returns a subclass of the class of an embedding: modules take methods from their class only."""
    compute: Callable[..., Any] = kind.__call__

    def call(self: nn.Module, x: mx.array, offset: object = 0) -> Any:
        angles = rotations.angles(frequencies, x, offset)
        return compute(self, x, offset) if angles is None else angles.rotated(x)

    return type(f"Sharing{kind.__name__}", (kind,), {"__call__": call})
