"""What the runner of a model that encodes asks of the device."""

from collections.abc import Sequence
from typing import Protocol

from mlxd.types import MemoryFigures
from mlxd.worker.engine.encoding.text import Text


class Encoder(Protocol):
    """A model in memory. All calls come from the engine thread."""

    def encode(self, texts: Sequence[Text]) -> Sequence[bytes | None]:
        """Returns the vector, or the score, of each text: float32, little-endian; None where that is no finite number. They are computed at
        once, each as if it were filled up to the longest one.
        """

    def memory(self) -> MemoryFigures:
        """Returns what weights and the device hold."""
