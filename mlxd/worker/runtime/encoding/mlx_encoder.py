"""A model in memory that makes vectors, or scores, of texts, as the engine has it."""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
from typing_extensions import override

from mlxd.types import MemoryFigures, Task
from mlxd.worker.engine.encoding.encoder import Encoder
from mlxd.worker.engine.encoding.text import Text
from mlxd.worker.runtime.encoding.loading import LoadedEncoder

_SHORTEST = 1e-12  # of a vector that has a direction


class MlxEncoder(Encoder):
    """The encoder of a model for its ``task``."""

    def __init__(self, loaded: LoadedEncoder, task: Task) -> None:
        self._loaded = loaded
        self._compute = loaded.scores if task is Task.RERANK else loaded.vectors

    @override
    def encode(self, texts: Sequence[Text]) -> Sequence[bytes | None]:
        computed = np.asarray(self._compute([text.input for text in texts]), dtype="<f4")  # [texts, dimension], or [texts]
        rows = computed.reshape(len(texts), -1)
        finite = np.isfinite(rows).all(axis=1)
        return [self._bytes(row, text.dimensions) if good else None for row, text, good in zip(rows, texts, finite, strict=True)]

    def _bytes(self, row: np.ndarray, dimensions: int | None) -> bytes:
        """Returns a vector's first ``dimensions``, which have the length 1 again where the whole vector has it (Matryoshka
        representations, Kusupati et al. 2022).
        """
        if dimensions is None:
            return row.tobytes()
        shortened = row[:dimensions]
        if self._loaded.facts.normalized:
            shortened = shortened / max(float(np.linalg.norm(shortened)), _SHORTEST)
        return shortened.astype("<f4").tobytes()

    @override
    def memory(self) -> MemoryFigures:
        return MemoryFigures(
            weights=self._loaded.weight_bytes,
            mlx_active=mx.get_active_memory(),
            mlx_cache=mx.get_cache_memory(),
            mlx_peak=mx.get_peak_memory(),
        )
