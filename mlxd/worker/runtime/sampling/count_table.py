"""Where the counts of sequences that come and go are held: a row each, as wide as the longest needs."""

from collections.abc import Sequence

import mlx.core as mx

from mlxd.worker.runtime.sampling.token_counts import Beginning, TokenCounts

_FEWEST_ROWS, _FEWEST_COLUMNS = 4, 64
_SPARE = 4  # times as many places as are needed, or more, are given back


class CountTable:
    """A table that grows by doubling, so that shapes repeat, and shrinks as those end who needed so much. It holds nothing while nobody is
    in it.
    """

    def __init__(self) -> None:
        self._counts = TokenCounts.empty(0, 0)
        self._used: dict[int, int] = {}  # row -> how many of its columns may hold something

    def begin(self, beginning: Beginning) -> int:
        """Returns the row of a new sequence."""
        row = next(row for row in range(len(self._used) + 1) if row not in self._used)
        used = len(beginning.ids)
        self._reserve(row + 1, used)
        self._counts = self._counts.begun(row, beginning)
        self._used[row] = used
        return row

    def end(self, row: int) -> None:
        """Lets go of a sequence's row."""
        del self._used[row]
        self._shrink()

    def of(self, rows: Sequence[int]) -> TokenCounts:
        """Returns the counts of some rows, each as often as it is named."""
        return self._counts.of(rows, _size(max(self._used[row] for row in rows), _FEWEST_COLUMNS))

    def add(self, rows: Sequence[int], lengths: Sequence[int], tokens: mx.array) -> None:
        """Counts more ``tokens`` ``[len(rows), K]`` of the output, of each row as many as its length says; ``NOTHING`` is behind them."""
        columns = [self._used[row] for row in rows]
        self._reserve(0, max(columns) + tokens.shape[1])
        self._counts = self._counts.written(rows, columns, tokens)
        for row, length in zip(rows, lengths, strict=True):
            self._used[row] += length

    def tensors(self) -> list[mx.array]:
        """Returns what changes as tokens are counted."""
        return [self._counts.ids, self._counts.counts]

    @property
    def shape(self) -> tuple[int, int]:
        """Returns its rows and columns."""
        rows, columns = self._counts.ids.shape
        return rows, columns

    def _shrink(self) -> None:
        if not self._used:
            self._counts = TokenCounts.empty(0, 0)
            return
        rows, columns = _size(max(self._used) + 1, _FEWEST_ROWS), _size(max(self._used.values()), _FEWEST_COLUMNS)
        has_rows, has_columns = self.shape
        if rows * columns * _SPARE <= has_rows * has_columns:
            self._counts = self._counts.of(range(min(rows, has_rows)), min(columns, has_columns))

    def _reserve(self, rows: int, columns: int) -> None:
        has_rows, has_columns = self.shape
        rows, columns = max(_size(rows, _FEWEST_ROWS), has_rows), max(_size(columns, _FEWEST_COLUMNS), has_columns)
        if (rows, columns) != (has_rows, has_columns):
            self._counts = self._counts.padded(rows, columns)


def _size(needed: int, least: int) -> int:
    """Returns ``least``, doubled until it is enough."""
    return max(least, 1 << (needed - 1).bit_length()) if needed > 0 else least
