"""Where tokens stand that models rotate by time, height and width (M-RoPE; Qwen2-VL, Wang et al., 2024). Pure: spans in, positions out.

Tokens of text stand one behind the other, at the same place of all three axes. Those of a picture stand at their times, rows and columns,
counted from where the first of them is, and what follows begins behind the furthest of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mlxd.worker.encoded_prompt import Grid, MediaSpan

Axes = npt.NDArray[np.integer[Any]]


def shift(media: Iterable[MediaSpan], start: int) -> int:
    """Returns by how many positions a token of text at ``start`` stands further on than its place among the tokens: less than 0 where a
    picture takes fewer positions than it has tokens.
    """
    return sum(grid.extent - len(span) for span, grid in _with_grids(media) if span.stop <= start)


def axes(media: Sequence[MediaSpan], start: int, count: int) -> Axes:
    """Returns the positions ``[3, count]`` of the tokens from ``start`` on; ``media`` are all spans that begin before their end."""
    found = np.tile(np.arange(start, start + count), (3, 1))
    for span, grid in _with_grids(media):
        first, stop = max(span.start, start) - start, max(span.stop, start) - start
        if first < count and first < stop:
            within = np.arange(first, min(stop, count)) + start - span.start
            found[:, first:stop] = span.start + shift(media, span.start) + _places(grid, within)
        found[:, stop:] += grid.extent - len(span)
    return found


def _with_grids(media: Iterable[MediaSpan]) -> Iterator[tuple[MediaSpan, Grid]]:
    return ((span, span.grid) for span in media if span.grid is not None)


def _places(grid: Grid, within: Axes) -> Axes:
    """Returns the times, rows and columns ``[3, N]`` of placeholders, each by its number ``within`` the grid."""
    times = within // (grid.rows * grid.columns)
    return np.stack([(times * grid.pace).astype(np.int64), within // grid.columns % grid.rows, within % grid.columns])
