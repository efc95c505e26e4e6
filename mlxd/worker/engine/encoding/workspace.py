"""The memory that a batch of texts is computed in: an estimate, made before anything is in memory."""

from dataclasses import dataclass

from mlxd.worker.engine.encoding.shape import BatchShape


@dataclass(frozen=True)
class Workspace:
    """A workspace of so many ``size`` bytes, of which each token of a batch takes some, and each pair of tokens of a text."""

    size: int
    token_bytes: int
    pair_bytes: int

    def bytes(self, shape: BatchShape) -> int:
        """Returns what such a batch takes."""
        return shape.padded * self.token_bytes + shape.pairs * self.pair_bytes

    def holds(self, shape: BatchShape, share: float = 1.0) -> bool:
        """Tells whether such a batch fits into a ``share`` of it."""
        return self.bytes(shape) <= self.size * share
