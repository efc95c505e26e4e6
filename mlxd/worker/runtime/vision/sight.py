"""What a model's calls show of the pictures that are encoded."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.runtime.vision.features import Features, Shown
from mlxd.worker.runtime.vision.mrope import axes


@dataclass(frozen=True)
class _Piece:
    """The part of a picture that tokens of a call show: at ``rows`` its features from ``first`` on."""

    content: bytes
    rows: range
    first: int
    has_grid: bool


class Sight:
    """The features of pictures, by their content, for as long as they are held."""

    def __init__(self) -> None:
        self._features: dict[bytes, Features] = {}

    def hold(self, content: bytes, features: Features) -> None:
        """Takes in what a picture was encoded to."""
        self._features[content] = features

    def let_go(self, contents: Iterable[bytes]) -> None:
        """Lets go of the features of these, where there are any."""
        for content in contents:
            self._features.pop(content, None)

    def clear(self) -> None:
        """Lets go of all."""
        self._features.clear()

    @property
    def nbytes(self) -> int:
        """Returns the bytes that are held."""
        return sum(features.nbytes for features in self._features.values())

    def shown(self, chunks: Sequence[Chunk], *, one_row: bool) -> Shown | None:
        """Returns what the tokens of a call show; None where all of them are text. They are a row of the batch each, or, with ``one_row``,
        all the only one. Raises ``KeyError`` for a picture that is not held.
        """
        found = list(_pieces(chunks))
        if not found:
            return None
        rows = [row for one in found for row in one.rows]
        parts = [self._features[one.content].part(one.first, one.first + len(one.rows)) for one in found]
        positions = _positions(chunks, one_row=one_row) if any(one.has_grid for one in found) else None
        return Shown(mx.array(rows), Features.joined(parts), positions)


def shows(chunk: Chunk) -> bool:
    """Tells whether any of a chunk's tokens shows a picture, by the last of its spans: where many are passed, that is soon known."""
    return bool(chunk.media) and chunk.media[-1].stop > chunk.start


def _pieces(chunks: Iterable[Chunk]) -> Iterator[_Piece]:
    row = 0
    for chunk in chunks:
        for span in chunk.media if shows(chunk) else ():
            begin, stop = max(span.start, chunk.start), min(span.stop, chunk.start + chunk.count)
            if begin < stop:
                rows = range(row + begin - chunk.start, row + stop - chunk.start)
                yield _Piece(span.content, rows, span.first + begin - span.start, span.grid is not None)
        row += chunk.count


def _positions(chunks: Iterable[Chunk], *, one_row: bool) -> mx.array:
    """Returns the positions of all tokens, ``[3, T, 1]``, or ``[3, 1, n]`` of one row."""
    found = np.concatenate([axes(chunk.media, chunk.start, chunk.count) for chunk in chunks], axis=1)
    return mx.array(found)[:, None] if one_row else mx.array(found)[..., None]
