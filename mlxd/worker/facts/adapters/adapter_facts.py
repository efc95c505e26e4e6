"""An adapter as its files describe it, before anything of it is in memory."""

from dataclasses import dataclass
from pathlib import Path

from mlxd.adapter_terms import AdapterFormat
from mlxd.worker.facts.adapters.stamps import UNKNOWN, Stamps
from mlxd.worker.facts.safetensors_file import StoredTensor


@dataclass(frozen=True)
class AdapterLayer:
    """What an adapter adds to the layer at ``path``: ``scale * x A B``, by two tensors of a low ``rank``. A layer of experts has a pair for
    each of them, along the first axis. Where there is a ``magnitude`` ``[outputs]``, the rows of the sum of both weights are given that
    length (DoRA, Liu et al. 2024).

    As stored, A is ``[inputs, rank]`` and B ``[rank, outputs]``; where they are ``transposed``, ``[rank, inputs]`` and ``[outputs, rank]``.
    """

    path: str
    scale: float
    a: StoredTensor
    b: StoredTensor
    magnitude: StoredTensor | None
    transposed: bool

    @property
    def experts(self) -> int:
        """Returns how many experts it has; 0 for a layer that has none."""
        return self.a.shape[0] if len(self.a.shape) == _WITH_EXPERTS else 0

    @property
    def rank(self) -> int:
        """Returns the axis that A and B share."""
        return self.a.shape[-2] if self.transposed else self.a.shape[-1]

    @property
    def inputs(self) -> int:
        """Returns the width of what the layer is given."""
        return self.a.shape[-1] if self.transposed else self.a.shape[-2]

    @property
    def outputs(self) -> int:
        """Returns the width of what the layer gives."""
        return self.b.shape[-2] if self.transposed else self.b.shape[-1]

    @property
    def tensors(self) -> tuple[StoredTensor, ...]:
        """Returns its tensors, those that there are."""
        return (self.a, self.b) if self.magnitude is None else (self.a, self.b, self.magnitude)


@dataclass(frozen=True)
class AdapterFacts:
    """An adapter, and where it was read: ``file`` has its tensors, and ``stamps`` are its files' before anything was read. ``warnings`` are
    for its operator.
    """

    format: AdapterFormat
    file: Path
    layers: tuple[AdapterLayer, ...]
    warnings: tuple[str, ...] = ()
    stamps: Stamps = UNKNOWN

    @property
    def rank(self) -> int:
        """Returns the largest rank of its layers."""
        return max((layer.rank for layer in self.layers), default=0)

    @property
    def scale(self) -> float:
        """Returns the largest scale of its layers."""
        return max((layer.scale for layer in self.layers), key=abs, default=0.0)


_WITH_EXPERTS = 3  # axes
