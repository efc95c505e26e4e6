"""Where the rows of a call lie in each group of layers: those that see everything, and, window by window, those that do not."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from mlxd.worker.encoded_prompt import MediaSpan
from mlxd.worker.engine.plan import Chunk
from mlxd.worker.runtime.paged.slots import Geometry


@dataclass(frozen=True)
class Placement:
    """The rows in the blocks of one group of layers. Where a sequence has passed some of its blocks, its chunk is as if it began behind
    those: whatever is reckoned from its tokens and runs is right then, but for its positions.
    """

    chunks: tuple[Chunk, ...]
    geometry: Geometry

    @classmethod
    def of(cls, chunks: Sequence[Chunk], geometry: Geometry, windows: Sequence[Geometry]) -> "tuple[Placement, ...]":
        """Returns one for the layers that see everything, and one for each of ``windows``."""
        whole = cls(tuple(chunks), geometry)
        return (whole, *(cls(tuple(_behind(chunk, at, one.block_size) for chunk in chunks), one) for at, one in enumerate(windows)))


def _behind(chunk: Chunk, window: int, block_size: int) -> Chunk:
    """Returns the chunk as if the sequence began behind what it has passed, and had no pictures there."""
    held = chunk.windows[window]
    passed = held.passed * block_size
    media = tuple(_moved(span, passed) for span in chunk.media if span.stop > chunk.start)
    return msgspec.structs.replace(chunk, start=chunk.start - passed, runs=held.runs, windows=(), media=media)


def _moved(span: MediaSpan, passed: int) -> MediaSpan:
    return msgspec.structs.replace(span, start=span.start - passed, stop=span.stop - passed)
