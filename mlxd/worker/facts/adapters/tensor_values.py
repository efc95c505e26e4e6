"""The values of an adapter's tensors, read layer by layer, without MLX."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from mlxd.errors import AdapterSourceError
from mlxd.worker.facts.adapters.adapter_facts import AdapterFacts, AdapterLayer
from mlxd.worker.facts.adapters.directory import CONFIG, adapter_errors
from mlxd.worker.facts.adapters.stamps import Stamp
from mlxd.worker.facts.safetensors_file import StoredTensor

Values = npt.NDArray[np.float32]

_DIGEST = 16  # bytes
_STORED = {"F16": "<f2", "BF16": "<u2", "F32": "<f4"}


@dataclass(frozen=True)
class LayerValues:
    """What is added to a layer: ``a`` ``[inputs, rank]`` and ``b`` ``[rank, outputs]``, with experts, where there are any, along an axis
    before; ``b`` has the scale in it. ``magnitude`` is ``[outputs]``, or None.
    """

    path: str
    a: Values
    b: Values
    magnitude: Values | None


@dataclass(frozen=True)
class ExaminedAdapter:
    """An adapter whose values were looked at: all are numbers. ``layers`` are those that it changes. Adapters of the same ``identity`` give
    the same answers: it is a hash of all values, of where they go, and by what they are scaled.
    """

    facts: AdapterFacts
    layers: tuple[AdapterLayer, ...]
    identity: str

    @classmethod
    def of(cls, facts: AdapterFacts) -> Self:
        """Reads all values, one layer at a time. Raises ``AdapterSourceError`` for one that is no number, where none changes anything, and
        where the file is another one than ``facts`` are of.
        """
        digest = hashlib.blake2b(digest_size=_DIGEST)
        changed = []
        with adapter_errors(facts.file):
            for layer in facts.layers:
                values = _values(facts.file, layer)
                digest.update(repr((layer.path, layer.scale, values.a.shape, values.b.shape, values.magnitude is not None)).encode())
                for part in _parts(values):
                    digest.update(np.ascontiguousarray(part).tobytes())
                if values.magnitude is not None or (values.a.any() and values.b.any()):
                    changed.append(layer)
        if Stamp.of(facts.file) != facts.stamps.weights:
            raise AdapterSourceError(f"{facts.file} was changed while it was looked at; load the adapter again")
        if not changed:
            raise AdapterSourceError(f"{facts.file}: all that it adds is zero, so that it would change no layer")
        return cls(facts, tuple(changed), digest.hexdigest())

    @property
    def is_stale(self) -> bool:
        """Tells whether its files are others than were looked at, or are gone."""
        stamps, file = self.facts.stamps, self.facts.file
        return Stamp.of(file) != stamps.weights or Stamp.of(file.parent / CONFIG) != stamps.config

    def values(self) -> Iterator[LayerValues]:
        """Yields what is added to each of its layers. Raises ``AdapterSourceError`` where the file is another one now, or is gone."""
        with adapter_errors(self.facts.file):
            if Stamp.of(self.facts.file) != self.facts.stamps.weights:
                raise AdapterSourceError(f"{self.facts.file} was changed since it was looked at; load the adapter again")
            for layer in self.layers:
                yield _values(self.facts.file, layer)


def _parts(values: LayerValues) -> Iterator[Values]:
    yield values.a
    yield values.b
    if values.magnitude is not None:
        yield values.magnitude


def _values(file: Path, layer: AdapterLayer) -> LayerValues:
    a, b = _read(file, layer.a), _read(file, layer.b)
    if layer.transposed:
        a, b = a.swapaxes(-1, -2), b.swapaxes(-1, -2)
    magnitude = None if layer.magnitude is None else _read(file, layer.magnitude).reshape(-1)
    return LayerValues(layer.path, a, _scaled(file, layer, b), magnitude)


def _scaled(file: Path, layer: AdapterLayer, b: Values) -> Values:
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = b * np.float32(layer.scale)
    if not np.isfinite(scaled).all():
        raise AdapterSourceError(f"{file}: {layer.b.name!r} times its scale, {layer.scale:g}, is too large for a number")
    return scaled


def _read(file: Path, tensor: StoredTensor) -> Values:
    count = int(np.prod(tensor.shape))
    stored = np.fromfile(file, dtype=_STORED[tensor.dtype], count=count, offset=tensor.start)
    if len(stored) != count:
        raise AdapterSourceError(f"{file} was cut short while it was read")
    wide = (stored.astype(np.uint32) << 16).view(np.float32) if tensor.dtype == "BF16" else stored.astype(np.float32)
    if not np.isfinite(wide).all():
        raise AdapterSourceError(f"{file}: {tensor.name!r} holds values that are NaN or infinite")
    return wide.reshape(tensor.shape)
